//! What the kernel knows about this process, under the names that all Prometheus clients share.

use std::fmt::Write;
use std::fs;

/// Clock ticks a second in `/proc/self/stat`. It is 100 on every Linux that Rust targets (`getconf CLK_TCK`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Appends the process metrics in the Prometheus text form. What cannot be read is left out.
pub fn render(text: &mut String) {
    let resident = fs::read_to_string("/proc/self/status").ok().and_then(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(nth_number(line, 0)? * 1024.0)
    });
    let open_fds = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as f64);
    let rows = [
        ("process_cpu_seconds_total", "counter", "User and system CPU time spent.", cpu_seconds()),
        ("process_resident_memory_bytes", "gauge", "Resident memory size.", resident),
        ("process_open_fds", "gauge", "Open file descriptors.", open_fds),
    ];
    for (name, kind, help, value) in rows {
        if let Some(value) = value {
            // Writing to a string cannot fail.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n");
        }
    }
}

/// User and system CPU time of this process in seconds.
pub fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the command in parentheses and may hold spaces: count from behind it.
    let (_, fields) = stat.rsplit_once(')')?;
    Some((nth_number(fields, 11)? + nth_number(fields, 12)?) / TICKS_PER_SECOND)
}

fn nth_number(text: &str, index: usize) -> Option<f64> {
    text.split_ascii_whitespace().nth(index)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_metrics_are_rendered_with_help_and_type() {
        let mut text = String::new();
        render(&mut text);
        assert!(text.contains("# TYPE process_cpu_seconds_total counter"), "{text}");
        assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
    }
}
