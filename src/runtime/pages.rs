//! How large the pages of memory are.

use std::io;

/// Has the kernel give this process small pages only, whatever it does for others. To be called before memory is used:
/// what is there already stays as it is.
///
/// Blocks of some megabytes come and go all the time here, with bodies, batches and files. Where transparent huge pages
/// are on, or the allocator asks for them, each of these is cleared in steps of 2 MiB and given back soon after; that
/// took a sixth of all CPU time (`docs/performance.md`), and a quarter more memory was resident.
///
/// # Errors
/// Where the kernel has no such switch: it is as fast as it was.
pub fn keep_small() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::thread::disable_transparent_huge_pages(true)?;
    Ok(())
}
