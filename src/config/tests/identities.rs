//! Those whom `[auth]` may name besides API keys.

use super::{node_from, printed};
use crate::config::checked::{Auth, CertificateName, Demand};
use crate::edge::identity::policy::Action;
use crate::edge::identity::principal::IdentityKind;

fn auth(text: &str) -> Auth {
    let (node, problems) = node_from(text);
    node.unwrap_or_else(|| panic!("{}", printed(&problems))).auth
}

/// What is wrong with the settings.
fn complaints(text: &str) -> String {
    let (node, problems) = node_from(text);
    assert!(node.is_none(), "{text}");
    printed(&problems).replace("forebay.toml:", "")
}

const NO_GRANT: &str = "help: write one such as \"ingest:web\", \"tap:*\" or \"*:web-*\"";

const CERTIFICATES: &str = "[auth]\ningest = [\"client_certificate\"]\n\
    [[client_certificate]]\nname = \"sensors\"\ncommon_name = \"sensor-*\"\nallow = [\"ingest:s\"]\n";

#[test]
fn certificates_are_known_by_one_of_their_names() {
    let found = auth(CERTIFICATES);
    assert_eq!(*found.demand(Action::Ingest), Demand::AnyOf(vec![IdentityKind::ClientCertificate]));
    let [holder] = found.client_certificates.as_slice() else { panic!("{found:?}") };
    assert!(matches!(&holder.shown, CertificateName::CommonLike(pattern) if pattern.matches("sensor-7")));
    assert!(holder.policy.permits(Action::Ingest, Some("s")) && holder.name == "sensors");
    let found =
        auth(&CERTIFICATES.replace("common_name = \"sensor-*\"", "alternative_name = \"spiffe://a/ä\""));
    assert_eq!(found.client_certificates[0].shown, CertificateName::Alternative("spiffe://a/ä".to_owned()));
}

#[test]
fn every_wrong_certificate_is_refused() {
    let with = |from: &str, to: &str| CERTIFICATES.replace(from, to);
    let one = "write common_name or alternative_name, one of them\n  help: common_name = \"sensor-*\"";
    for (text, message) in [
        (with("common_name = \"sensor-*\"\n", ""), format!("3:1: {one}")),
        (with("allow", "alternative_name = \"a\"\nallow"), format!("3:1: {one}")),
        (
            with("sensor-*", ""),
            "5:15: common_name has 1 to 1024 characters, none of them a control character".into(),
        ),
        (
            with("sensor-*", "a\\u0000"),
            "5:15: common_name has 1 to 1024 characters, none of them a control character".into(),
        ),
        (
            with("name = \"sensors\"\n", ""),
            "3:1: missing \"name\"\n  help: write name = \"mobile\" or another name".into(),
        ),
        (
            with("ingest:s\"", "put:s\""),
            format!(
                "6:10: \"put:s\" is no grant: there are the actions ingest, tap, admin, and * for all\n  {NO_GRANT}"
            ),
        ),
    ] {
        assert_eq!(complaints(&text), message, "{text}");
    }
    let twice = format!("{CERTIFICATES}{}", &CERTIFICATES[CERTIFICATES.find("[[").unwrap()..]);
    assert_eq!(
        complaints(&twice),
        "8:8: name = \"sensors\" is also that of client_certificate 1: each needs its own"
    );
    let many: String = (0..=100)
        .map(|n| {
            format!(
                "[[client_certificate]]\nname = \"n{n}\"\ncommon_name = \"{n}*\"\nallow = [\"ingest:s\"]\n"
            )
        })
        .collect();
    let said = complaints(&format!("[auth]\ningest = [\"client_certificate\"]\n{many}"));
    assert!(said.ends_with("there may be 100 names with * in them"), "{said}");
}
