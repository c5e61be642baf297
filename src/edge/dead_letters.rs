//! `GET /v1/streams/{stream}/dead_letters` and `…/dead_letters/summary`: records that could not be delivered, and why.
//!
//! | parameter | of | meaning |
//! | --- | --- | --- |
//! | `delivery` | both | only those of this one |
//! | `reason` | both | only those with this code; may come several times |
//! | `from`, `until` | pages | only records that arrived then or later, or before: RFC 3339, a date, or a duration ago such as `2h` |
//! | `after` | pages | the `next` of a page, to go on behind it |
//! | `limit` | pages | letters of a page |
//! | `payload` | pages | `false` leaves the payloads out |
//!
//! They are read where the deliveries have put them, by the ledgers and sinks that the node has open, in a thread that may
//! wait: for a bounded time, by a bounded number of requests, paid for from the taps' account, and no longer than the
//! client waits.

use std::sync::Arc;

use http::{Response, StatusCode};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::gate::throttle::charge::Charge;
use super::identity::credentials::{API_KEY_PARAMETER, TOKEN_PARAMETER};
use super::problem::Problem;
use super::reply::{self, Body};
use super::{Edge, Intake};
use crate::config::limits::{
    DEAD_LETTER_PATIENCE, DEAD_LETTER_READER_BYTES, DEAD_LETTER_READER_WAIT, DEAD_LETTER_REASONS_MAX,
    DEAD_LETTERS_DEFAULT, DEAD_LETTERS_MAX,
};
use crate::delivery::dead_letters::letter_box::LetterBox;
use crate::delivery::dead_letters::page::{Ask, Page, PageError, page};
use crate::delivery::dead_letters::summary::summary;
use crate::delivery::dead_letters::{Filter, Patience, Place, parse_time};
use crate::runtime::clock;
use crate::runtime::phases::Phase;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Letters.
    Page,
    /// How many there are.
    Summary,
}

impl View {
    fn names(self) -> &'static str {
        match self {
            View::Page => "delivery, reason, from, until, after, limit and payload",
            View::Summary => "delivery and reason",
        }
    }
}

/// Answers a page or a summary.
///
/// # Errors
/// What is wrong with the query; [`Problem::UnknownDelivery`]; if there is no thread or no memory for it at the moment, or
/// what is asked for cannot be read.
pub async fn get(
    edge: &Arc<Edge>,
    intake: &Intake,
    (view, query): (View, &str),
    charge: &mut Charge,
) -> Result<Response<Body>, Problem> {
    let ask = ask_of(view, query)?;
    let stream = intake.stream.name();
    let boxes = edge.control()?.letter_boxes(stream);
    if !boxes.iter().any(|it| ask.filter.takes_delivery(stream, it.delivery())) {
        return Err(Problem::UnknownDelivery(ask.filter.delivery));
    }
    let found = read(edge, boxes, view, ask).await?.map_err(|error| match error {
        PageError::NoMemory => Problem::MemoryFull,
        error => {
            tracing::warn!(%stream, %error, "dead letters cannot be read");
            Problem::DeadLettersUnavailable
        }
    })?;
    charge.owe(found.letters, found.text.len() as u64);
    Ok(reply::json(StatusCode::OK, found.text.into_bytes()))
}

/// Reads in a thread, when one is free.
async fn read(
    edge: &Arc<Edge>,
    boxes: Vec<LetterBox>,
    view: View,
    ask: Ask,
) -> Result<Result<Page, PageError>, Problem> {
    let turn = Arc::clone(&edge.letter_readers).acquire_owned();
    let turn = tokio::select! {
        turn = tokio::time::timeout(DEAD_LETTER_READER_WAIT, turn) => turn,
        () = edge.phases.reached(Phase::StoppingEdge) => return Err(Problem::Draining),
    };
    // It is never closed.
    let turn = turn.ok().and_then(Result::ok).ok_or(Problem::DeadLettersBusy)?;
    let memory = edge.admit_tap(DEAD_LETTER_READER_BYTES)?;
    let ended = CancellationToken::new();
    // Dropped with this future when the client goes away.
    let _end = ended.clone().drop_guard();
    let budget = Arc::clone(&edge.taps_budget);
    let task = edge.control()?.read_in_thread(move |runtime: &Handle| {
        let deadline = clock::monotonic() + DEAD_LETTER_PATIENCE;
        let patience = Patience::until(runtime, deadline, ended);
        let found = match view {
            View::Page => page(&boxes, &ask, &patience, &budget),
            View::Summary => {
                summary(&boxes, &ask.filter, &patience, &budget).map(|text| Page { text, letters: 0 })
            }
        };
        // Whoever comes next has to wait until this thread has really ended.
        drop((turn, memory));
        found
    });
    tokio::select! {
        // A panic, or the end of the runtime.
        found = task => found.map_err(|_| Problem::DeadLettersUnavailable),
        // A store that does not answer must not hold up a shutdown.
        () = edge.phases.reached(Phase::StoppingEdge) => Err(Problem::Draining),
    }
}

/// Reads the query.
fn ask_of(view: View, query: &str) -> Result<Ask, Problem> {
    let (mut filter, mut after) = (Filter::default(), None);
    let (mut letters_max, mut has_payloads) = (DEAD_LETTERS_DEFAULT, true);
    let now = clock::wall();
    let bad = |name, detail: String| Problem::BadParameter { name, detail };
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let time = |name: &'static str| match parse_time(&value, now) {
            Some(time) => Ok(Some(time)),
            None => Err(bad(
                name,
                "an RFC 3339 time, a date such as 2026-01-31, or a duration ago such as 2h".to_owned(),
            )),
        };
        match (&*name, view) {
            ("delivery", _) => filter.delivery = Some(value.into_owned()),
            ("reason", _) if filter.reasons.len() < DEAD_LETTER_REASONS_MAX => {
                filter.reasons.push(value.into_owned());
            }
            ("reason", _) => return Err(bad("reason", format!("at most {DEAD_LETTER_REASONS_MAX} of them"))),
            ("from", View::Page) => filter.since = time("from")?,
            ("until", View::Page) => filter.until = time("until")?,
            ("after", View::Page) => match Place::parse(&value) {
                Some(place) => after = Some(place),
                None => {
                    return Err(bad("after", "not the 'next' of a page: hand it back as it was".to_owned()));
                }
            },
            ("limit", View::Page) => match value.parse() {
                Ok(limit) if (1..=DEAD_LETTERS_MAX).contains(&limit) => letters_max = limit,
                _ => return Err(bad("limit", format!("a number from 1 to {DEAD_LETTERS_MAX}"))),
            },
            ("payload", View::Page) => match value.parse() {
                Ok(wanted) => has_payloads = wanted,
                Err(_) => return Err(bad("payload", "true or false".to_owned())),
            },
            // The gate has looked at these.
            (API_KEY_PARAMETER | TOKEN_PARAMETER, _) => {}
            _ => return Err(bad("query parameter", format!("'{name}' is none: there are {}", view.names()))),
        }
    }
    Ok(Ask { filter, after, letters_max, has_payloads })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_query_is_read_or_refused(
            query in "(delivery|reason|from|until|after|limit|payload|x)=\\PC{0,20}(&\\PC{0,9})?",
        ) {
            for view in [View::Page, View::Summary] {
                let _ = ask_of(view, &query);
            }
        }
    }

    #[test]
    fn a_query_says_which_letters_how_many_and_where_to_go_on() {
        let place = Place::parse("bGFrZS8zL243").unwrap();
        let query = "delivery=lake&reason=schema&reason=json&from=2023-11-14&until=2023-11-15T00:00:00Z\
                     &after=bGFrZS8zL243&limit=7&payload=false&api_key=k";
        let Ask { filter, after, letters_max, has_payloads } = ask_of(View::Page, query).unwrap();
        assert_eq!((after, letters_max, has_payloads), (Some(place), 7, false));
        assert_eq!(
            (filter.delivery.as_deref(), filter.reasons.as_slice()),
            (Some("lake"), &["schema".to_owned(), "json".to_owned()][..])
        );
        let micros = [filter.since, filter.until].map(|time| time.unwrap().0);
        assert_eq!(micros, [1_699_920_000_000_000, 1_700_006_400_000_000]);
        let ask = ask_of(View::Page, "").unwrap();
        assert_eq!((ask.letters_max, ask.has_payloads, ask.after), (DEAD_LETTERS_DEFAULT, true, None));
    }

    #[test]
    fn what_is_no_parameter_or_out_of_bounds_is_named() {
        let reasons = "reason=a&".repeat(DEAD_LETTER_REASONS_MAX + 1);
        for (view, query, name) in [
            (View::Page, "limit=0", "limit"),
            (View::Page, "limit=1001", "limit"),
            (View::Page, "after=x", "after"),
            (View::Page, "from=yesterday", "from"),
            (View::Page, "until=", "until"),
            (View::Page, "payload=no", "payload"),
            (View::Page, "grep=a", "query parameter"),
            (View::Summary, "limit=1", "query parameter"),
            (View::Summary, "from=2h", "query parameter"),
            (View::Page, &reasons, "reason"),
        ] {
            match ask_of(view, query).unwrap_err() {
                Problem::BadParameter { name: found, .. } => assert_eq!(found, name, "{query}"),
                other => panic!("{query}: {other:?}"),
            }
        }
    }
}
