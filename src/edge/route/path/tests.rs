use std::collections::BTreeSet;

use http::Request;

use super::*;

#[test]
fn every_route_has_a_place_and_a_name_of_its_own() {
    let targets = Target::all();
    let native = [
        Route::Records(""),
        Route::Stream(""),
        Route::Shards(""),
        Route::Cursors(""),
        Route::Cursor("", ""),
        Route::DeadLetters(View::Page, ""),
        Route::Click(clicks::Kind::Pixel, ""),
        Route::Click(clicks::Kind::Event, ""),
        Route::Streams,
        Route::Unknown,
    ];
    let routes: Vec<_> = native.into_iter().chain(targets.map(Route::Aws)).collect();
    let places: BTreeSet<_> = routes.iter().map(|route| route.index()).collect();
    let names: BTreeSet<_> = routes.iter().map(|route| route.name()).collect();
    assert_eq!(names, super::names().collect());
    assert_eq!((places.len(), names.len(), places.last()), (ROUTES, ROUTES, Some(&(ROUTES - 1))));
}

#[test]
fn what_is_escaped_or_climbs_names_nothing() {
    for path in [
        "//v1/streams",
        "/v1//streams",
        "/v1/streams/",
        "/v1/streams/a/",
        "/v1/streams/%61",
        "/v1%2fstreams",
        "/v1/streams/a%00",
        "/v1/streams/%2e%2e/a",
        "/v1/streams/../streams",
        "/v1/streams/./a",
        "/v1/streams/a;x=1/records",
        "/beta/streams/%61/records",
        "/v1\\streams",
        "/v1/streams/\u{e9}",
        "/V1/streams",
    ] {
        let (head, ()) = Request::get(path).body(()).unwrap().into_parts();
        assert_eq!(Route::of(&head), Route::Unknown, "{path}");
    }
}

#[test]
fn paths_are_told_apart() {
    assert_eq!(Route::of_path("/v1/streams/a/records"), Route::Records("a"));
    assert_eq!(Route::of_path("/v1/streams/a/shards"), Route::Shards("a"));
    assert_eq!(Route::of_path("/v1/streams/a"), Route::Stream("a"));
    assert_eq!(Route::of_path("/v1/streams/a/cursors"), Route::Cursors("a"));
    assert_eq!(Route::of_path("/v1/streams/a/cursors/b"), Route::Cursor("a", "b"));
    assert_eq!(Route::of_path("/v1/streams/a/cursors/b/c"), Route::Unknown);
    assert_eq!(Route::of_path("/v1/streams/a/dead_letters"), Route::DeadLetters(View::Page, "a"));
    let summary = Route::of_path("/v1/streams/a/dead_letters/summary");
    assert_eq!((summary, summary.name()), (Route::DeadLetters(View::Summary, "a"), "dead_letters"));
    for path in [
        "/v1/streams/a/dead_letters/b",
        "/v1/streams/a/dead_letters/summary/b",
        "/v1/streams/a/dead_letters/",
    ] {
        assert_eq!(Route::of_path(path), Route::Unknown, "{path}");
    }
    for (path, method) in [("a/dead_letters", Method::GET), ("a/dead_letters/summary", Method::DELETE)] {
        let path = format!("/v1/streams/{path}");
        let (head, ()) = Request::builder().method(method).uri(&path).body(()).unwrap().into_parts();
        assert_eq!(Route::of_path(&path).action(&head), Some(Action::DeadLetters), "{path}");
    }
    assert_eq!(Route::of_path("/v1/streams/a/pixel.gif"), Route::Click(clicks::Kind::Pixel, "a"));
    assert_eq!(Route::of_path("/v1/streams/a/event"), Route::Click(clicks::Kind::Event, "a"));
    assert_eq!(Route::of_path("/v1/streams"), Route::Streams);
    let beta = |told| Route::Staged("beta", "a", told);
    assert_eq!(Route::of_path("/beta/streams/a/records"), beta(Told::Records));
    assert_eq!(Route::of_path("/beta/streams/a/event"), beta(Told::Click(clicks::Kind::Event)));
    let tricks =
        ["//streams/a/records", "/beta/streams//records", "/beta//streams/a/records", "/beta/streams/a"];
    for path in tricks.into_iter().chain([
        "beta/streams/a/records",
        "/beta/streams/a/records/",
        "/beta/streams/a/shards",
    ]) {
        assert_eq!(Route::of_path(path), Route::Unknown, "{path}");
    }
    for path in
        ["/", "/v1", "/v1/streamsa", "/v1/streams//records", "/v1/streams/a/records/b", "/v1/streams/a/x"]
    {
        assert_eq!(Route::of_path(path), Route::Unknown, "{path}");
    }
}
