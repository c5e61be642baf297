mod differential;
mod keys;
mod numbers;
mod pointers;
mod strings;
mod syntax;

use super::*;

/// Scans one whole text strictly: syntax, duplicate keys, nothing behind the value.
fn scan(text: &str) -> Result<(), SyntaxError> {
    let mut scanner = Scanner::new(text);
    KeySet::new().skip_value(&mut scanner)?;
    scanner.end()
}
