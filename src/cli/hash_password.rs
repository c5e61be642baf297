//! `forebay hash-password`: a password → what stands in `password_hash`.

use std::io::{self, BufRead};

use super::{Exit, Session};
use crate::config::limits::PASSWORD_BYTES_MAX;
use crate::edge::identity::password::{ITERATIONS, PasswordHash};

/// Reads the first line of `input`.
///
/// # Errors
/// If the output cannot be written.
pub fn run(input: &mut dyn BufRead, session: &mut Session<'_>) -> io::Result<Exit> {
    let mut line = String::new();
    // A longer one is refused below; an endless one ends there.
    let read = io::Read::take(input, PASSWORD_BYTES_MAX as u64 + 3).read_line(&mut line);
    let password = line.trim_end_matches(['\r', '\n']);
    let hash = match read {
        Err(error) => Err(error.to_string()),
        Ok(_) if !(1..=PASSWORD_BYTES_MAX).contains(&password.len()) => Err(format!(
            "write a password of 1 to {PASSWORD_BYTES_MAX} bytes, and a line feed, to its standard input"
        )),
        Ok(_) => PasswordHash::make(password.as_bytes(), ITERATIONS)
            .map_err(|_| "the system has no random numbers".to_owned()),
    };
    match hash {
        Ok(hash) => writeln!(session.out, "{hash}").map(|()| Exit::Well),
        Err(why) => writeln!(session.err, "forebay hash-password: {why}").map(|()| Exit::NotWell),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashed(input: &str) -> (Exit, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut session = Session { env: &|_| None, out: &mut out, err: &mut err };
        let exit = run(&mut input.as_bytes(), &mut session).unwrap();
        (exit, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn the_hash_of_the_first_line_is_printed_and_nothing_else() {
        let (exit, out, err) = hashed("hunter2\r\nmore\n");
        assert_eq!((exit, err.as_str(), out.lines().count()), (Exit::Well, "", 1));
        let hash = PasswordHash::parse(out.trim_end()).unwrap();
        assert!(hash.is_of(b"hunter2") && !out.contains("hunter2"));
    }

    #[test]
    fn what_is_no_password_is_refused() {
        for input in ["", "\n", &"x".repeat(PASSWORD_BYTES_MAX + 1)] {
            let (exit, out, err) = hashed(input);
            assert!(exit == Exit::NotWell && out.is_empty() && err.contains("1 to 1024 bytes"), "{err}");
        }
    }
}
