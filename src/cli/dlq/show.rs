//! `forebay dlq show`.

use std::fmt::Write as _;
use std::io;
use std::ops::ControlFlow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Task;
use crate::cli::Exit;
use crate::delivery::dead_letters::{DeadFile, Letter, Shown, Visitor, rfc3339};

/// Prints some of them; `limit` 0 stands for all.
pub fn run(task: Task<'_>, limit: u64, json: bool) -> io::Result<Exit> {
    let Task { filter, found, patience, out, err, .. } = task;
    let mut visitor = Visitor::new(&filter, &patience);
    let mut shown = 0;
    for file in &found.files {
        let step = visitor.visit(file, &mut |row, letter| {
            if json {
                serde_json::to_writer(&mut *out, &Shown::of(file, row, &letter))?;
                writeln!(out)?;
            } else {
                out.write_all(text_of(file, row, &letter).as_bytes())?;
            }
            shown += 1;
            Ok(if shown == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        if step.is_break() {
            break;
        }
    }
    // Beside the letters, so that these can be read by a program.
    visitor.print(&found.notes, err)?;
    if shown == 0 && !json {
        writeln!(out, "no dead letters")?;
    }
    Ok(if visitor.is_well() { Exit::Well } else { Exit::NotWell })
}

fn text_of(file: &DeadFile, row: u64, letter: &Letter) -> String {
    let Letter { stream, delivery, reason, message, shard, number, key, raw, .. } = letter;
    let mut text = format!("{stream}/{delivery}  {reason}  {}  {shard} {number}", rfc3339(letter.arrival));
    if !key.is_empty() {
        text.push_str("  key ");
        push_printable(&mut text, key);
    }
    let _ = write!(text, "\n  in {}:{}\n  ", file.key, row + 1);
    push_printable(&mut text, message);
    text.push_str("\n  ");
    match std::str::from_utf8(raw) {
        Ok(payload) => push_printable(&mut text, payload),
        Err(_) => {
            text.push_str("(no text) base64:");
            STANDARD.encode_string(raw, &mut text);
        }
    }
    text.push_str("\n\n");
    text
}

/// What a client has sent must not move the cursor of a terminal, or change its colours.
fn push_printable(text: &mut String, of_client: &str) {
    for character in of_client.chars() {
        if character.is_control() && character != '\t' {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_a_client_do_not_reach_the_terminal() {
        let mut text = String::new();
        push_printable(&mut text, "a\u{1b}[31m\té\r\n\u{9b}");
        assert_eq!(text, "a\\u{1b}[31m\té\\r\\n\\u{9b}");
    }
}
