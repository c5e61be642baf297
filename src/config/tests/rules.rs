//! `[access]`, `[[rule]]` and `[screening]`.

use super::{complaints_below_stream, node, node_complaints as complaints, pipeline};
use crate::config::checked::Node;
use crate::edge::gate::rules::Verdict;

fn permits(node: &Node, client: &str) -> bool {
    node.access.permit(Some(client.parse().unwrap()))
}

#[test]
fn without_tables_everybody_comes_in_and_nothing_is_asked() {
    let node = node("");
    assert!(permits(&node, "192.0.2.1") && permits(&node, "2001:db8::1") && !node.access.is_given());
    assert!(node.rules.rules.is_empty() && node.rules.injection.is_none());
}

#[test]
fn addresses_are_allowed_and_denied() {
    let node = node(
        "[access]\nallow_addresses = [\"10.0.0.0/8\", \"2001:db8::/32\"]\ndeny_addresses = [\"10.1.2.3\"]\n",
    );
    assert!(permits(&node, "10.0.0.1") && permits(&node, "2001:db8::1") && permits(&node, "::ffff:10.0.0.1"));
    assert!(!permits(&node, "10.1.2.3") && !permits(&node, "11.0.0.1"));
    let pipeline = pipeline("stream = { name = \"s\" }\naccess = { deny_addresses = [\"192.0.2.0/24\"] }\n");
    assert!(!pipeline.access.permit(Some([192, 0, 2, 9].into())) && pipeline.access.is_given());
}

#[test]
fn a_file_of_addresses_is_read_and_its_lines_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("blocked.txt");
    let text = format!("[access]\ndeny_file = {:?}\n", file.display().to_string());
    assert!(complaints(&text).contains("blocked.txt: cannot be read"), "{}", complaints(&text));
    std::fs::write(&file, "# nobody knows who\n\n192.0.2.0/24 # all of it\r\n2001:db8::1\n").unwrap();
    let node = node(&text);
    assert!(!permits(&node, "192.0.2.9") && !permits(&node, "2001:db8::1") && permits(&node, "192.0.3.1"));
    std::fs::write(&file, "198.51.100.1\n\nexample.com\n").unwrap();
    assert!(
        complaints(&text).contains("blocked.txt:3: \"example.com\" is no network"),
        "{}",
        complaints(&text)
    );
}

#[test]
fn addresses_that_are_none_are_told_with_their_place() {
    let said = complaints("[access]\nallow_addresses = [\"10.0.0.0/8\", \"10.0.0.0/33\"]\n");
    assert!(said.contains("forebay.toml:2") && said.contains("\"10.0.0.0/33\" is no network"), "{said}");
    let said = complaints_below_stream("access = { deny_addresses = [\"here\"] }\n");
    assert!(said.contains("p.toml:3") && said.contains("\"here\" is no network"), "{said}");
}

const RULE: &str = "[[rule]]\nname = \"r\"\nwhen = { path = \"/x\" }\naction = \"block\"\n";

#[test]
fn a_rule_has_a_name_something_it_is_about_and_an_action() {
    let text = "[[rule]]\nname = \"large\"\naction = \"block\"\nstatus = 413\n[rule.when]\nmethod = [\"POST\"]\n\
                path = \"/records$\"\nquery = \"a\"\nuser_agent = \"^$\"\nheader = { referer = \"spam\" }\n\
                body_bytes = \"1MiB\"\nclient = [\"10.0.0.0/8\"]\n[[rule]]\nname = \"ok\"\n\
                when = { query = \"x\" }\naction = \"allow\"\n[screening]\ninjection = \"count\"\nbots = \"block\"\n\
                bot_user_agents = [\"(?i)masscan\"]\n";
    let rules = node(text).rules;
    let [large, ok, bots] = rules.rules.as_slice() else { panic!("{rules:?}") };
    assert_eq!(large.verdict, Verdict::Block(http::StatusCode::PAYLOAD_TOO_LARGE));
    assert_eq!((large.when.body_bytes_over, large.when.headers.len()), (Some(1 << 20), 2));
    assert_eq!((ok.verdict, rules.injection), (Verdict::Allow, Some(Verdict::Count)));
    assert_eq!(bots.name, "screening:bots");
    assert_eq!(bots.when.headers[0].1, "(?:(?i)masscan)|(?:^[ \t]*$)");
}

#[test]
fn what_is_wrong_with_a_rule_is_said_at_its_place() {
    let said = |from: &str, to: &str| complaints(&RULE.replace(from, to));
    assert!(said("name = \"r\"\n", "").contains("missing \"name\""));
    assert!(said("when = { path = \"/x\" }\n", "").contains("missing \"when\""));
    assert!(said("{ path = \"/x\" }", "{}").contains("a rule about nothing"));
    assert!(said("action = \"block\"\n", "").contains("missing \"action\""));
    assert!(said("\"block\"", "\"challenge\"").contains("is not known"));
    assert!(said("\"/x\"", "\"(\"").contains("forebay.toml:3"));
    assert!(said("\"block\"", "\"block\"\nstatus = 500").contains("from 400 to 499"));
    assert!(said("\"block\"", "\"count\"\nstatus = 403").contains("goes with action = \"block\""));
    assert!(said("path = \"/x\"", "method = [\"get\"]").contains("\"get\" is no method"));
    assert!(said("path = \"/x\"", "client = [\"x\"]").contains("\"x\" is no network"));
    assert!(said("path = \"/x\"", "header = { \"a b\" = \"x\" }").contains("is no name of a header"));
    assert!(complaints(&format!("{RULE}{RULE}")).contains("is also that of rule 1"));
    let many = (0..201).map(|index| RULE.replace("\"r\"", &format!("\"r{index}\""))).collect::<String>();
    assert!(complaints(&many).contains("201 rules are too many: there may be 200"));
    assert!(complaints("[screening]\nbot_user_agents = [\"x\"]\n").contains("nothing is done about them"));
    assert!(complaints("[screening]\nbots = \"allow\"\n").contains("is not known"));
}
