//! Server-sent events (the HTML standard's event stream), read piece by piece.

use std::mem;

/// Bytes of an event that are held: the largest record with what stands around it.
const EVENT_BYTES_MAX: usize = (1 << 30) + (1 << 20);

/// An event does not end.
#[derive(Debug)]
pub struct TooLong;

/// An event, or a block with nothing but an id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// From where to read on, if it is told.
    pub id: Option<String>,
    /// Its type.
    pub name: String,
    /// Its data, lines joined.
    pub data: String,
}

/// See the module.
#[derive(Debug, Default)]
pub struct EventParser {
    text: Vec<u8>,
    /// Bytes of `text` that are done with.
    done: usize,
    /// No line ends between `done` and here.
    searched: usize,
    event: Event,
}

impl EventParser {
    /// Takes what has come.
    ///
    /// # Errors
    /// If an event is larger than any can be.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), TooLong> {
        let done = mem::take(&mut self.done);
        self.text.drain(..done);
        self.searched = self.searched.saturating_sub(done);
        self.text.extend_from_slice(piece);
        if self.text.len() + self.event.data.len() > EVENT_BYTES_MAX { Err(TooLong) } else { Ok(()) }
    }

    /// The next event that is complete.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            let from = self.searched.max(self.done);
            let Some(length) = memchr::memchr(b'\n', &self.text[from..]) else {
                self.searched = self.text.len();
                return None;
            };
            let line = String::from_utf8_lossy(&self.text[self.done..from + length]).into_owned();
            self.done = from + length + 1;
            if let Some(event) = self.take_line(line.trim_end_matches('\r')) {
                return Some(event);
            }
        }
    }

    fn take_line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let event = mem::take(&mut self.event);
            let is_something = event.id.is_some() || !event.name.is_empty() || !event.data.is_empty();
            return is_something.then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.event.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // Comments and fields that nobody needs.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(parser: &mut EventParser) -> Vec<Event> {
        std::iter::from_fn(|| parser.next_event()).collect()
    }

    proptest! {
        #[test]
        fn events_are_the_same_in_whatever_pieces_they_come(
            events in prop::collection::vec(("[0-9_-]{1,9}", "[a-z]{1,5}", "[a-z:{}\" é]{1,30}"), 0..5),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let mut text = String::from("retry: 1000\n: comment\n\n");
            let mut wanted = Vec::new();
            for (id, name, data) in events {
                text.push_str(&format!("id: {id}\nevent: {name}\ndata: {data}\n\n: still here\n\n"));
                wanted.push(Event { id: Some(id), name, data });
            }
            let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(text.len())).collect();
            at.sort_unstable();
            let (mut parser, mut found, mut start) = (EventParser::default(), Vec::new(), 0);
            for end in at.into_iter().chain([text.len()]) {
                parser.push(&text.as_bytes()[start..end]).unwrap();
                found.extend(all(&mut parser));
                start = end;
            }
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut parser = EventParser::default();
            parser.push(&bytes).unwrap();
            all(&mut parser);
        }
    }

    #[test]
    fn lines_of_data_are_joined_and_an_id_may_stand_alone() {
        let mut parser = EventParser::default();
        parser.push(b"data: a\r\ndata: b\r\n\r\nid: 7\n\n\nevent:x\ndata\n\nid: unfinished\n").unwrap();
        let event = |id: Option<&str>, name: &str, data: &str| Event {
            id: id.map(str::to_owned),
            name: name.to_owned(),
            data: data.to_owned(),
        };
        assert_eq!(
            all(&mut parser),
            [event(None, "", "a\nb"), event(Some("7"), "", ""), event(None, "x", "")]
        );
    }
}
