//! Parts of a partition as shards of their own.

use super::*;
use crate::stream::kafka::growth::window::Window;
use crate::stream::log::{Found, Numbering, ShardLog};

/// A read, and whether it came from memory.
async fn read_once(window: &Window, from: u64) -> (Read, bool) {
    match window.read(SequenceNumber(from), ReadLimit::bytes(1 << 20)) {
        Found::Here(read) => (read, true),
        Found::Stored(stored) => {
            let captures = Captures::default().plan().unwrap();
            let load = move || stored.load(&payer(), &captures).unwrap();
            (tokio::task::spawn_blocking(load).await.unwrap(), false)
        }
    }
}

/// Everything from a place on: numbers and payloads, where the window ends, and whether all was in memory.
async fn read_all(window: &Window, from: u64) -> (Vec<(u64, String)>, u64, bool) {
    let (mut records, mut next, mut is_here) = (Vec::new(), from, true);
    loop {
        let (read, was_here) = read_once(window, next).await;
        is_here &= was_here;
        for slice in &read.slices {
            for (index, record) in slice.batch.records[slice.skip..].iter().enumerate() {
                let payload = String::from_utf8(slice.batch.source.bytes(record.payload).to_vec()).unwrap();
                records.push((slice.first.0 + index as u64, payload));
            }
        }
        if read.next.0 <= next {
            return (records, next, is_here);
        }
        next = read.next.0;
    }
}

fn expected(numbers: std::ops::Range<u64>) -> Vec<(u64, String)> {
    numbers.map(|number| (number, format!("[{number}]"))).collect()
}

#[tokio::test]
async fn kafka_a_window_is_a_part_of_its_partition_in_memory_and_out_of_it() {
    let mock = mock(1);
    let stream = node(&mock);
    let topic = Arc::clone(stream.topic().unwrap());
    let log = Arc::clone(&topic.partitions()[0]);
    read_nothing(&stream).await;
    while topic.followed() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for payloads in [&["[0]", "[1]"] as &[&str], &["[2]", "[3]", "[4]"], &["[5]"]] {
        put(&stream, 0, payloads).await.unwrap();
    }
    while log.next() < 6 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let window = |from, end| Window::new(Arc::clone(&log), 1, from, end);
    for is_in_memory in [true, false] {
        if !is_in_memory {
            log.forget();
        }
        for (from, end) in [(0, Some(4)), (4, None), (2, Some(3)), (3, Some(6)), (0, None)] {
            let (window, until) = (window(from, end), end.unwrap_or(6));
            let (records, next, is_here) = read_all(&window, from).await;
            assert_eq!(
                (records, next, is_here),
                (expected(from..until), until, is_in_memory),
                "{from} {end:?}"
            );
            let bounds = window.bounds();
            assert_eq!((bounds.first.0, bounds.next.0, window.end().0), (from, until, until));
        }
        let (records, next, _) = read_all(&window(2, Some(4)), 3).await;
        assert_eq!((records, next), (expected(3..4), 4));
        let (records, next, is_here) = read_all(&window(4, Some(4)), 4).await;
        assert_eq!((records, next, is_here), (Vec::new(), 4, true));
    }
    // Where the tail is not as far yet as the window's beginning.
    let ahead = window(9, None);
    assert_eq!((ahead.bounds().first.0, ahead.bounds().next.0), (9, 9));
    assert_eq!(read_all(&ahead, 0).await.0, []);
    let find = |from, end, time| {
        let window = window(from, end);
        tokio::task::spawn_blocking(move || window.position_at(UnixMicros(time)).find().unwrap().0)
    };
    let late = clock::wall().0 + 60_000_000;
    // The mock cluster knows of no time but the end.
    assert_eq!(find(9, Some(12), late).await.unwrap(), 9);
    assert_eq!(find(2, Some(4), late).await.unwrap(), 4);
    assert_eq!(find(4, None, late).await.unwrap(), 6);
    // What retention has taken is skipped in the shard that had it.
    log.learn_low(5);
    let (read, _) = read_once(&window(0, Some(4)), 1).await;
    let lost = |below| Numbering::Sparse { lost_below: SequenceNumber(below) };
    assert_eq!((read.slices.len(), read.next.0, read.skipped, read.numbering), (0, 4, 3, lost(4)));
    let (read, _) = read_once(&window(4, None), 0).await;
    assert_eq!((read.slices[0].first.0, read.skipped, read.numbering), (5, 1, lost(5)));
    end(stream).await;
}
