//! Arguments and environment → a command → its exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use forebay::cli::{self, Cli, Exit, Session};
use mimalloc::MiMalloc;

/// Small and large blocks come and go on many threads; measured against the system's allocator in
/// `docs/performance.md`.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // It goes on without: nothing but speed depends on it.
    let _ = forebay::runtime::pages::keep_small();
    let _ = forebay::runtime::turns::keep_short();
    let cli = Cli::parse();
    // Not locked: other threads log to standard error as well.
    let mut out = io::stdout();
    let mut err = io::stderr();
    let env = |name: &str| std::env::var(name).ok();
    let mut session = Session { env: &env, out: &mut out, err: &mut err };
    let ended = cli::run(cli, &mut session).and_then(|exit| out.flush().map(|()| exit));
    match ended {
        Ok(exit) => exit.into(),
        // Whoever reads has seen enough, as in `forebay check | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Well.into(),
        Err(error) => {
            // There is nowhere left to report that this failed as well.
            let _ = writeln!(err, "forebay: the output cannot be written: {error}");
            Exit::NotWell.into()
        }
    }
}
