//! `kill@10s,restart@12s,stall@20s,heal@25s` → what happens when.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

/// Events of a script.
pub const EVENTS_MAX: usize = 1_000;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The server is killed (SIGKILL).
    Kill,
    /// The server is told to end (SIGTERM), and waited for.
    Terminate,
    /// The server is started again.
    Restart,
    /// A process is stopped (SIGSTOP): the one that is named, or the server.
    Freeze,
    /// It goes on (SIGCONT).
    Thaw,
    /// Nothing goes through the proxy any more; connections stay.
    Stall,
    /// Connections through the proxy are cut, and new ones as well.
    Cut,
    /// The proxy lets everything through again.
    Heal,
}

impl Act {
    const ALL: [(Act, &'static str); 8] = [
        (Act::Kill, "kill"),
        (Act::Terminate, "terminate"),
        (Act::Restart, "restart"),
        (Act::Freeze, "freeze"),
        (Act::Thaw, "thaw"),
        (Act::Stall, "stall"),
        (Act::Cut, "cut"),
        (Act::Heal, "heal"),
    ];

    /// What has to come later.
    pub(super) fn undone_by(self) -> Option<Act> {
        match self {
            Act::Kill | Act::Terminate => Some(Act::Restart),
            Act::Freeze => Some(Act::Thaw),
            Act::Stall | Act::Cut => Some(Act::Heal),
            Act::Restart | Act::Thaw | Act::Heal => None,
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Act::ALL.iter().find(|(act, _)| act == self).map_or("", |(_, name)| *name);
        f.write_str(name)
    }
}

/// What happens when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// From the start of the load.
    pub at: Duration,
    /// What.
    pub act: Act,
}

/// What makes no sense about a script.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ScriptError {
    /// Not an event.
    #[error(
        "--chaos: {0:?} is no event: give ACT@SECONDS, such as kill@10s, with kill, terminate, restart, freeze, thaw, \
         stall, cut or heal"
    )]
    Event(String),
    /// The load would never end well.
    #[error("--chaos: {0} is not followed by {1}")]
    NotUndone(Act, Act),
    /// Something is undone that was not done.
    #[error("--chaos: {0} with nothing to undo")]
    NothingToUndo(Act),
    /// Nobody would notice it.
    #[error(
        "--chaos: {act} at {at:?} is behind the load, which ends after {end:?}: do it earlier, or send for longer"
    )]
    Behind {
        /// What.
        act: Act,
        /// When.
        at: Duration,
        /// When the load ends.
        end: Duration,
    },
    /// Too much.
    #[error("--chaos: more than {EVENTS_MAX} events")]
    TooMany,
}

/// Reads a script. Events are in the order of their times.
pub fn parse(text: &str) -> Result<Vec<Event>, ScriptError> {
    let mut events = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let bad = || ScriptError::Event(part.to_owned());
        let (name, at) = part.split_once('@').ok_or_else(bad)?;
        let (act, _) = Act::ALL.into_iter().find(|(_, known)| *known == name).ok_or_else(bad)?;
        let (number, scale) = match at.strip_suffix("ms") {
            Some(number) => (number, 1e-3),
            None => (at.strip_suffix('s').unwrap_or(at), 1.0),
        };
        let seconds: f64 = number.parse().map_err(|_| bad())?;
        events.push(Event { at: Duration::try_from_secs_f64(seconds * scale).map_err(|_| bad())?, act });
    }
    if events.len() > EVENTS_MAX {
        return Err(ScriptError::TooMany);
    }
    events.sort_by_key(|event| event.at);
    let mut open: Vec<Act> = Vec::new();
    for Event { act, .. } in &events {
        if act.undone_by().is_some() {
            open.push(*act);
        } else {
            let before = open.len();
            open.retain(|open| open.undone_by() != Some(*act));
            if open.len() == before {
                return Err(ScriptError::NothingToUndo(*act));
            }
        }
    }
    match open.first().and_then(|act| Some((*act, act.undone_by()?))) {
        Some((act, by)) => Err(ScriptError::NotUndone(act, by)),
        None => Ok(events),
    }
}

/// Says what of `events` a load that ends then would not see. Something may be undone at its very end.
pub fn check_end(events: &[Event], end: Duration) -> Result<(), ScriptError> {
    let is_behind = |event: &&Event| event.at > end || event.at == end && event.act.undone_by().is_some();
    match events.iter().find(is_behind) {
        Some(Event { act, at }) => Err(ScriptError::Behind { act: *act, at: *at, end }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_the_order_of_their_times() {
        let events = parse("restart@12s, kill@10s,stall@500ms,heal@1.5").unwrap();
        let told: Vec<_> = events.iter().map(|event| (event.at.as_millis(), event.act.to_string())).collect();
        let expected = [(500, "stall"), (1_500, "heal"), (10_000, "kill"), (12_000, "restart")];
        assert_eq!(told, expected.map(|(at, act)| (at, act.to_owned())));
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn what_is_behind_the_load_is_refused() {
        let check = |text: &str| check_end(&parse(text).unwrap(), Duration::from_secs(3));
        assert_eq!(check("stall@1s,heal@3s"), Ok(()));
        for (text, act) in [
            ("kill@10s,restart@12s", Act::Kill),
            ("kill@2s,restart@3001ms", Act::Restart),
            ("stall@3s,heal@3s", Act::Stall),
        ] {
            assert!(matches!(check(text), Err(ScriptError::Behind { act: of, .. }) if of == act), "{text}");
        }
        let text = check("kill@10s,restart@12s").unwrap_err().to_string();
        assert!(text.starts_with("--chaos: kill at 10s is behind the load, which ends after 3s"), "{text}");
    }

    #[test]
    fn what_is_not_undone_is_refused() {
        assert_eq!(parse("kill@1s"), Err(ScriptError::NotUndone(Act::Kill, Act::Restart)));
        assert_eq!(parse("kill@2s,restart@1s"), Err(ScriptError::NothingToUndo(Act::Restart)));
        assert_eq!(parse("stall@1s,cut@2s,heal@3s").map(|events| events.len()), Ok(3));
        for text in ["kill", "kill@", "die@1s", "kill@-1s", "kill@1e30s"] {
            assert!(matches!(parse(text), Err(ScriptError::Event(_))), "{text}");
        }
    }
}
