//! Dead letters of the deliveries that run: where they are, and a thread to read them in.

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::Control;
use crate::delivery::dead_letters::letter_box::LetterBox;
use crate::pipeline::running::Which;

impl Control {
    /// The letter boxes of a stream, in the order of the names of its deliveries.
    pub fn letter_boxes(&self, stream: &str) -> Vec<LetterBox> {
        let parts = self.site.parts_of(&Which::all_of(stream));
        let mut boxes: Vec<_> = parts.iter().filter_map(|parts| LetterBox::of(parts)).collect();
        // Of those that are shared, all files are in the sink, and this node has some of the ledgers only.
        let shared = self.site.shared().clone();
        let of_stream = shared.iter().filter(|sharing| **sharing.stream_name() == *stream);
        boxes.extend(of_stream.filter_map(|sharing| sharing.letter_box()));
        boxes.sort_unstable_by(|a, b| a.delivery().cmp(b.delivery()));
        boxes
    }

    /// Has a thread of the deliveries do something that waits for stores. It is not ended with the handle, so that it has
    /// to look itself whether anybody wants to know.
    pub fn read_in_thread<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Handle) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let runtime = self.runtime.clone();
        self.runtime.spawn_blocking(move || read(&runtime))
    }
}
