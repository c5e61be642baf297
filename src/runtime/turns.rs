//! Turns on a core that threads share: an edge thread that is woken should not wait for an encoder's turn to end.
//!
//! Linux gives a thread a *slice*, some milliseconds, before one that wakes may take its core, and looks again only with
//! the next tick of its clock, which is 4 ms away with 250 Hz. An ack that comes in while a delivery encodes waits for
//! that. So all threads of this process have the shortest slices that there are, and what works for long offers its
//! core in between. Nobody's share of the core changes by that, so nobody starves: encoders still get what they need
//! where the edge has more to do than the core can. A lower priority of the encoders would make acks as quick, but then
//! a server that gets more than it can store would go on taking until its disk is full (`docs/performance.md`).

use std::io;

/// The least that Linux (6.12 and later) takes, in nanoseconds.
#[cfg(target_os = "linux")]
const SLICE_NANOS: u64 = 100_000;

/// Gives the calling thread, and all that it starts from then on, short turns. To be called before threads are started.
///
/// # Errors
/// What the kernel says to it. Where it does not know of slices there is none, and nothing changes.
pub fn keep_short() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    set_slice(SLICE_NANOS)?;
    Ok(())
}

/// Lets another thread that waits for this core go first. Costs a quarter of a microsecond where there is none.
pub fn offer() {
    std::thread::yield_now();
}

/// What a thread has worked since it has last offered its core.
#[derive(Debug, Default)]
pub struct Turn {
    bytes: u64,
}

impl Turn {
    /// The thread has worked on so many bytes more; offers the core where that makes a turn of `turn_bytes`.
    pub fn worked(&mut self, bytes: u64, turn_bytes: u64) {
        self.bytes += bytes;
        if self.bytes >= turn_bytes {
            self.bytes = 0;
            offer();
        }
    }
}

/// `struct sched_attr` of `sched_setattr(2)`, in its first version.
#[cfg(target_os = "linux")]
#[repr(C)]
#[derive(Debug, Default)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    /// The slice, in nanoseconds, of a thread without real-time needs.
    runtime: u64,
    deadline: u64,
    period: u64,
}

#[cfg(target_os = "linux")]
const ATTRIBUTES_BYTES: u32 = size_of::<Attributes>() as u32;

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the kernel reads and writes a structure")]
fn set_slice(nanos: u64) -> io::Result<()> {
    let mut attributes = attributes()?;
    // Whoever runs us under another policy has a reason.
    if attributes.policy != libc::SCHED_OTHER as u32 {
        return Ok(());
    }
    attributes.size = ATTRIBUTES_BYTES;
    attributes.runtime = nanos;
    // SAFETY: the structure lives for as long as the call takes, and tells its own size.
    let answer = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Those of the calling thread.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the kernel reads and writes a structure")]
fn attributes() -> io::Result<Attributes> {
    let mut attributes = Attributes::default();
    // SAFETY: the kernel writes no more than the size that it is told.
    let answer =
        unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, ATTRIBUTES_BYTES, 0) };
    if answer == 0 { Ok(attributes) } else { Err(io::Error::last_os_error()) }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_with_short_turns_hands_them_on_and_keeps_its_policy_and_priority() {
        let found = std::thread::spawn(|| {
            let before = attributes()?;
            keep_short()?;
            let inherited = std::thread::spawn(attributes).join().unwrap()?;
            io::Result::Ok((before, attributes()?, inherited))
        });
        let (before, own, inherited) = match found.join().unwrap() {
            Ok(found) => found,
            // As in a sandbox that lets these calls through for nobody.
            Err(error) => return crate::testkit::skip::skipped(&format!("no scheduler to ask: {error}")),
        };
        assert_eq!((own.policy, own.nice), (before.policy, before.nice));
        assert_eq!(inherited.runtime, own.runtime);
        // Kernels before 6.12 know nothing of slices, and other policies keep what they have.
        if own.policy == libc::SCHED_OTHER as u32 && before.runtime != 0 {
            assert_eq!(own.runtime, SLICE_NANOS);
        } else {
            assert_eq!(own.runtime, before.runtime);
        }
    }
}
