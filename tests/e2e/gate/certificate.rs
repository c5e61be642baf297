//! Certificates of clients as proofs of identity.

use super::{assert_refused, keys};
use crate::listen::Authority;
use crate::server::{Setup, stream};

const HOLDERS: &str = "[[client_certificate]]\nname = \"sensors\"\ncommon_name = \"sensor-*\"\nallow = [\"ingest:s\"]\n\
    [[client_certificate]]\nname = \"reader\"\nalternative_name = \"reader.example\"\nallow = [\"tap:s\"]\n";

#[tokio::test]
async fn a_certificate_is_a_proof_of_identity() {
    let authority = Authority::new();
    authority.sign("server", "server", &["127.0.0.1"]);
    authority.sign("sensor", "sensor-7", &[]);
    authority.sign("reader", "somebody", &["reader.example"]);
    authority.sign("stranger", "sensor", &["other.example"]);
    let clients = format!(
        ", client_ca = \"{}\", client_certificate = \"optional\"",
        authority.path("ca.pem").display()
    );
    let tables = keys("").replace("[\"api_key\"]", "[\"client_certificate\", \"api_key\"]")
        + HOLDERS
        + &format!("[[listener]]\naddress = \"127.0.0.1:0\"\n{}", authority.tls(&clients));
    let server = Setup::pipeline(stream("s", 1)).node(&tables).start();
    let call = |client: Option<&str>, words: &[&str]| {
        let path = |name: String| authority.path(&name).display().to_string();
        let shown = client.map(|name| {
            ["--cert".into(), path(format!("{name}.pem")), "--key".into(), path(format!("{name}.key"))]
        });
        let shown = shown.unwrap_or_default();
        let words: Vec<&str> = shown
            .iter()
            .map(String::as_str)
            .filter(|word| !word.is_empty())
            .chain(words.iter().copied())
            .collect();
        let url = format!("{}/v1/streams/s/records", server.others[0]);
        authority.call(&url, &words)
    };
    let put = ["--json", "{\"n\":1}"];
    assert_eq!(call(Some("sensor"), &put).0, 200);
    assert_eq!(call(Some("reader"), &["--get", "--data", "from=earliest"]).0, 200);
    assert_refused(call(Some("sensor"), &[]), 403, "'sensors' may not read 's'");
    assert_refused(call(Some("reader"), &put), 403, "'reader' may not put records into 's'");
    assert_refused(call(None, &put), 401, "this request does not say who has sent it");
    // A certificate that the authority vouches for and nobody is known by: a key may still tell who it is.
    assert_refused(call(Some("stranger"), &put), 401, "the certificate is not known");
    let key = super::api_key(super::PRODUCER);
    assert_eq!(call(Some("stranger"), &[&["--header", &key], &put[..]].concat()).0, 200);
    // The certificate comes first, and the key does not make up for what its holder may not do.
    assert_refused(
        call(Some("reader"), &[&["--header", &key], &put[..]].concat()),
        403,
        "'reader' may not put records into 's'",
    );
    server.stop().assert_drained();
}
