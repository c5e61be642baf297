//! Pages of other origins, in a real browser.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};

use forebay::testkit::skip::skipped;

use crate::server::{PATIENCE, Server, Setup, stream};

/// As Debian calls it.
const CHROMIUM: &str = "chromium";

const KEY: &str = "0123456789abcdef";

/// What a page does with a server, one line of its report after the other.
const SCRIPT: &str = r#"
const json = "application/json";
async function send(headers) {
  try {
    const answer = await fetch(URL_OF_RECORDS, { method: "POST", headers, body: '{"n":1}' });
    return answer.status + " " + answer.headers.get("www-authenticate");
  } catch (error) {
    return "refused by the browser";
  }
}
async function run() {
  const lines = ["key " + await send({ "content-type": json, "x-api-key": KEY })];
  lines.push("bearer " + await send({ "content-type": json, "authorization": "Bearer " + KEY, "x-partition-key": "a" }));
  lines.push("nobody " + await send({ "content-type": json }));
  if (BEACONS) {
    const target = URL_OF_RECORDS + "?api_key=" + KEY;
    lines.push("json beacon " + navigator.sendBeacon(target, new Blob(['{"n":2}'], { type: json })));
    lines.push("text beacon " + navigator.sendBeacon(target, '{"n":3}'));
  }
  await fetch("/done", { method: "POST", body: lines.join("\n") });
}
run();
"#;

/// Serves one page at `/`, and hands on what is posted.
fn serve_page(listener: TcpListener, page: String, reports: Sender<String>) {
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let Ok(socket) = socket else { return };
            let (page, reports) = (page.clone(), reports.clone());
            std::thread::spawn(move || answer(socket, &page, &reports));
        }
    });
}

fn answer(socket: TcpStream, page: &str, reports: &Sender<String>) -> Option<()> {
    let mut reader = BufReader::new(socket);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).ok()?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        length = line.strip_prefix("content-length: ").map_or(length, |text| text.parse().unwrap());
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let is_report = first.starts_with("POST ");
    let (status, text) = match first.split(' ').nth(1)? {
        "/" => ("200 OK", page),
        "/done" => ("200 OK", ""),
        _ => ("404 Not Found", ""),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        text.len()
    );
    reader.get_mut().write_all(format!("{head}{text}").as_bytes()).ok()?;
    if is_report {
        reports.send(String::from_utf8(body).unwrap()).ok()?;
    }
    Some(())
}

/// A browser with one page open. Closed when dropped.
struct Browser {
    child: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    fn open(url: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let child = Command::new(CHROMIUM)
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(url)
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, _profile: profile }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a page reports of a server.
fn report(server: &Server, page: (TcpListener, bool)) -> (Vec<String>, Browser) {
    let (listener, beacons) = page;
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let values =
        format!("const URL_OF_RECORDS = {:?}, KEY = {KEY:?}, BEACONS = {beacons};", server.records("s"));
    let (reports, received): (_, Receiver<String>) = channel();
    serve_page(listener, format!("<!doctype html><script>{values}{SCRIPT}</script>"), reports);
    let browser = Browser::open(&url);
    let text = received.recv_timeout(PATIENCE).expect("a report");
    (text.lines().map(str::to_owned).collect(), browser)
}

#[tokio::test]
async fn pages_of_allowed_origins_send_events_and_those_of_others_do_not() {
    if Command::new(CHROMIUM).arg("--version").output().is_err() {
        skipped("there is no chromium (`make test` installs it where it may)");
        return;
    }
    let page = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", page.local_addr().unwrap());
    let keys = format!(
        "[auth]\ningest = [\"api_key\"]\ncredentials_in_query = true\n\
         [[api_key]]\nname = \"page\"\nkey = {KEY:?}\nallow = [\"ingest:s\"]\n"
    );
    let cors = format!("cors = {{ origins = [{origin:?}], credentials = true }}");
    let server = Setup::pipeline(stream("s", 1)).node(&keys).server(&cors).start();
    let (lines, browser) = report(&server, (page, true));
    let challenge = "nobody 401 Bearer realm=\"forebay\"";
    assert_eq!(lines, ["key 200 null", "bearer 200 null", challenge, "json beacon true", "text beacon true"]);
    server.until("forebay_ingest_records_total", "accepted", |count| count == 4.0).await;
    drop(browser);
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let (lines, _browser) = report(&server, (other, false));
    let refused = ["key", "bearer", "nobody"].map(|who| format!("{who} refused by the browser"));
    assert_eq!(lines, refused);
    assert_eq!(server.metric("forebay_ingest_records_total", "accepted").await, 4.0);
    server.stop().assert_drained();
}
