//! Arrays.

use super::Walk;
use crate::json::{Scanner, SyntaxError};
use crate::record::Span;
use crate::schema::validation::node::{ArrayRules, CapturedItem};
use crate::schema::validation::violation::Path;

impl<'p> Walk<'p> {
    pub(super) fn array(
        &mut self,
        scanner: &mut Scanner<'_>,
        rules: &'p ArrayRules,
        path: &Path<'_>,
    ) -> Result<(), SyntaxError> {
        scanner.enter_array()?;
        let mut captured = rules.captured.iter().peekable();
        let mut first = true;
        let mut count = 0;
        while scanner.next_element(&mut first)? {
            let step = Path::Index(path, count);
            match captured.next_if(|item| item.index == count) {
                Some(item) => self.captured_item(scanner, item, &step)?,
                None => self.value(scanner, rules.item(count), &step)?,
            }
            count += 1;
        }
        self.item_count(rules, count as u64, path)
    }

    fn captured_item(
        &mut self,
        scanner: &mut Scanner<'_>,
        item: &CapturedItem,
        path: &Path<'_>,
    ) -> Result<(), SyntaxError> {
        scanner.skip_whitespace();
        let start = scanner.position();
        self.value(scanner, item.node, path)?;
        let span = Span::new(start, scanner.position());
        for &slot in &item.slots {
            self.scratch.captures[slot as usize] = span;
        }
        Ok(())
    }

    #[inline]
    fn item_count(&mut self, rules: &ArrayRules, count: u64, path: &Path<'_>) -> Result<(), SyntaxError> {
        let (min, max) = (rules.count_min, rules.count_max);
        if (min..=max).contains(&count) {
            return Ok(());
        }
        self.violate(path, || {
            let expected = if count < min { format!("at least {min}") } else { format!("at most {max}") };
            (format!("{expected} items"), count.to_string())
        })
    }
}
