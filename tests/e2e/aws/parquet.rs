//! What boto3 puts, in the lake.

use crate::lake;
use crate::server::{Server, Setup, durable_stream};

use super::{ACCESS_KEY, run};

const RECORDS: u64 = 4_000;

fn setup() -> Setup {
    Setup::pipeline(
        durable_stream("clicks", 3, "fsync")
            + "[schema]\ncolumns = [{ name = \"n\", type = \"int64\", nullable = false }, { name = \"key\", type = \"string\" }]\n\
               [[delivery]]\nname = \"lake\"\nsink = { path = \"lake\" }\nformat = \"parquet\"\nprefix = \"\"\n\
               buffer = { size = \"64MiB\", interval = \"1s\" }\n",
    )
    .node(ACCESS_KEY)
}

fn put(server: &Server, from: u64) -> bool {
    run(server, "put_records.py", &["clicks", &from.to_string(), &RECORDS.to_string()]).is_some()
}

#[tokio::test]
async fn what_boto3_puts_is_in_parquet_files_once_across_a_kill() {
    let server = setup().start();
    if !put(&server, 0) {
        return;
    }
    // Some files are stored, others are open.
    server.until("forebay_delivery_delivered_records_total", "", |count| count > 0.0).await;
    assert!(put(&server, RECORDS));
    let folder = server.kill();
    let server = setup().in_folder(folder).start();
    assert!(put(&server, 2 * RECORDS));
    let stopped = server.stop();
    stopped.assert_drained();
    let reports = crate::verify::well(stopped.folder.path(), &[]);
    assert_eq!(reports[0]["delivered"].as_u64(), Some(3 * RECORDS), "{reports:?}");
    let python = lake::python().expect("it has run the scripts");
    let folder = stopped.path("lake");
    let wanted = (3 * RECORDS).to_string();
    lake::run_reader(&python, "check_numbers.py", &[folder.to_str().unwrap(), &wanted]);
}
