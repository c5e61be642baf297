//! `forebay serve`: runs every pipeline file that is found.

use std::io;

use super::{Exit, ServeArgs, Session};

/// Reads the configuration, and reports that this build cannot run it.
pub fn run(args: ServeArgs, session: &mut Session<'_>) -> io::Result<Exit> {
    match crate::config::load(&args.paths, args.config.as_deref(), session.env) {
        Ok(_) => writeln!(session.err, "forebay serve: not built yet")?,
        Err(problems) => writeln!(session.err, "{problems}")?,
    }
    Ok(Exit::NotWell)
}
