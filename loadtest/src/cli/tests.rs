#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

use clap::CommandFactory;
use forebay_load::run;

use super::*;

fn plan(args: &[&str]) -> Result<run::Plan, String> {
    let cli =
        Cli::try_parse_from([&["forebay-load", "run"], args].concat()).map_err(|error| error.to_string())?;
    let Command::Run(args) = cli.command else { return Err("another command".into()) };
    args.plan(&|_| None)
}

#[test]
fn the_arguments_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn a_rate_means_an_open_loop_and_none_a_closed_one() {
    assert_eq!(plan(&["--rate", "500"]).unwrap().mode, run::Mode::Open { rate: 500.0 });
    assert_eq!(plan(&[]).unwrap().mode, run::Mode::Closed);
    assert!(plan(&["--mode", "open"]).is_err());
    assert!(plan(&["--mode", "closed", "--rate", "5"]).is_err());
}

#[test]
fn a_run_without_an_end_lasts_ten_seconds() {
    let of = |args: &[&str]| {
        let plan = plan(args).unwrap();
        (plan.duration, plan.records)
    };
    assert_eq!(of(&[]), (Some(Duration::from_secs(10)), None));
    assert_eq!(of(&["--records", "5"]), (None, Some(5)));
    assert_eq!(of(&["--file", "a", "--stream", "s"]), (None, None));
}

#[test]
fn requests_that_are_tried_again_carry_a_key_unless_told_otherwise() {
    let of = |args: &[&str]| plan(args).unwrap().idempotent;
    assert!(of(&["--retry"]) && of(&["--idempotent"]) && of(&["--idempotent=true"]));
    assert!(!of(&[]) && !of(&["--retry", "--idempotent=false"]));
    assert_eq!(plan(&["--retry"]).unwrap().retry, Some(Duration::from_secs(60)));
    assert!(plan(&["--patience", "5s"]).is_err());
}

#[test]
fn the_key_of_the_environment_is_shown_to_the_server_and_to_nobody_else() {
    let cli = Cli::try_parse_from(["forebay-load", "run"]).unwrap();
    let Command::Run(args) = cli.command else { panic!("another command") };
    let plan = args.plan(&|name| (name == "FOREBAY_API_KEY").then(|| "k3y".to_owned())).unwrap();
    assert_eq!(plan.authorization.as_ref().unwrap(), "Bearer k3y");
    assert!(!format!("{plan:?}").contains("k3y"));
}

#[test]
fn times_are_read_with_their_unit() {
    assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
    assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
    assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
    for text in ["", "s", "-1s", "5d", "1e400s"] {
        assert!(duration(text).is_err(), "{text}");
    }
}

#[test]
fn an_endpoint_on_the_command_line_wins_over_the_environment() {
    let cli = Cli::try_parse_from(["forebay-load", "verify", "s3://b/", "--endpoint", "http://h:1"]).unwrap();
    let Command::Verify(args) = cli.command else { panic!("another command") };
    let environment =
        vec![("aws_endpoint_url".into(), "http://other".into()), ("aws_region".into(), "r".into())];
    let plan = args.plan(environment, vec![]).unwrap();
    let get = |name: &str| plan.options.iter().find(|(has, _)| has == name).map(|(_, value)| value.as_str());
    assert_eq!((get("aws_endpoint"), get("aws_allow_http")), (Some("http://h:1"), Some("true")));
    assert_eq!((get("aws_endpoint_url"), get("aws_region")), (None, Some("r")));
}
