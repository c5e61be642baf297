//! A request that was answered → its line in the access log, and its steps of a trace.

use http::header::USER_AGENT;
use http::{Method, Response};
use hyper::body::Body as _;

use super::Visit;
use crate::config::limits::{LOG_LINE_PATH_BYTES, LOG_LINE_TEXT_BYTES};
use crate::edge::Edge;
use crate::edge::gate::facts::Facts;
use crate::edge::reply::Body;
use crate::runtime::clock::UnixMicros;
use crate::telemetry::access_log::{Access, AccessLog};
use crate::telemetry::text;
use crate::telemetry::trace::{Recorded, Span, SpanKind, Step, Tracer};

impl Visit {
    /// Puts it on record, where that is wanted, now that there is an answer.
    pub fn conclude(&self, edge: &Edge, facts: &Facts<'_>, response: &Response<Body>) {
        let observer = &edge.observer;
        if let Some(log) = observer.access().filter(|log| log.wants(response.status().as_u16())) {
            self.log(log, facts, response);
        }
        if let Some(Step { recorded: Some(recorded), .. }) = &self.step {
            self.trace_to((&observer.tracer, *recorded), facts, response);
        }
    }

    fn log(&self, log: &AccessLog, facts: &Facts<'_>, response: &Response<Body>) {
        let elapsed = self.elapsed();
        let Facts { peer, head, route, .. } = *facts;
        log.write(&Access {
            time: Self::began(elapsed),
            request_id: self.id.as_str(),
            trace_id: self.trace().map(|context| context.trace.to_string()),
            client: self.client,
            method: &head.method,
            path: head.uri.path(),
            route,
            stream: self.stream().or(facts.stream),
            status: response.status().as_u16(),
            code: self.code(),
            bytes_in: self.bytes_in(),
            bytes_out: response.body().size_hint().exact(),
            records: self.records(),
            body_us: self.body_us(),
            append_us: self.appended_us().zip(self.body_us()).map(|(end, start)| end.saturating_sub(start)),
            total_us: super::micros(elapsed),
            principal: self.who().map(|who| &*who.name),
            identity: self.who().map(|who| who.identity),
            tls: peer.is_encrypted,
            http: head.version,
            user_agent: head.headers.get(USER_AGENT).map(|agent| agent.as_bytes()),
        });
    }

    /// By the semantic conventions of OpenTelemetry for HTTP servers.
    fn trace_to(
        &self,
        (tracer, recorded): (&Tracer, Recorded),
        facts: &Facts<'_>,
        response: &Response<Body>,
    ) {
        let Some(context) = self.trace() else { return };
        let Facts { peer, head, route, .. } = *facts;
        let elapsed = self.elapsed();
        let start = Self::began(elapsed);
        let after = |micros: u64| UnixMicros(start.0.saturating_add_unsigned(micros));
        let (method, template) = (known(&head.method), template(route));
        let status = response.status();
        let name = format!("{} {template}", method.unwrap_or("HTTP"));
        let short = |bytes: &[u8]| text::shown(bytes, LOG_LINE_TEXT_BYTES).into_owned();
        let span = Span::of(context, name, SpanKind::Server)
            .between(start, after(super::micros(elapsed)))
            .with("http.request.method", method.unwrap_or("_OTHER"))
            .with("http.route", template)
            .with("http.response.status_code", u64::from(status.as_u16()))
            .with("url.path", text::shortened(head.uri.path(), LOG_LINE_PATH_BYTES).to_owned())
            .with("url.scheme", if peer.is_encrypted { "https" } else { "http" })
            .with("network.protocol.version", text::http_version(head.version))
            .with_some("client.address", self.client.map(|client| client.to_string()))
            .with_some("user_agent.original", head.headers.get(USER_AGENT).map(|it| short(it.as_bytes())))
            .with_some("http.request.body.size", self.bytes_in())
            .with_some("http.response.body.size", response.body().size_hint().exact())
            .with_some("error.type", self.code().filter(|_| status.is_server_error()))
            .with_some("forebay.stream", self.stream().or(facts.stream).map(str::to_owned))
            .with_some("forebay.principal", self.who().map(|who| who.name.to_string()))
            .with("forebay.request_id", self.id.as_str().to_owned());
        // Its own id is what the steps that it causes have as their parent.
        let span =
            Span { id: context.parent, parent: recorded.parent, is_error: status.is_server_error(), ..span };
        tracer.record(span);
        if let (Some(body), Some(appended)) = (self.body_us(), self.appended_us()) {
            let append = Span::of(context, "append", SpanKind::Internal)
                .between(after(body), after(appended))
                .with_some("forebay.stream", self.stream().or(facts.stream).map(str::to_owned))
                .with_some("forebay.records", self.records());
            tracer.record(append);
        }
    }
}

/// The methods that the conventions know; any other could be the client's invention.
fn known(method: &Method) -> Option<&'static str> {
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]
        .into_iter()
        .find(|known| *known == method.as_str())
}

/// The path of a route, with names for what differs.
fn template(route: &'static str) -> &'static str {
    match route {
        "records" => "/v1/streams/{stream}/records",
        "pixel" => "/v1/streams/{stream}/pixel.gif",
        "event" => "/v1/streams/{stream}/event",
        "stream" => "/v1/streams/{stream}",
        "shards" => "/v1/streams/{stream}/shards",
        "cursors" => "/v1/streams/{stream}/cursors",
        "cursor" => "/v1/streams/{stream}/cursors/{cursor}",
        "dead_letters" => "/v1/streams/{stream}/dead_letters",
        "streams" => "/v1/streams",
        "unknown" => "unknown",
        // The operations of AWS services are all at one path.
        operation => operation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::route_names;

    #[test]
    fn every_route_of_ours_has_a_path_in_traces() {
        let ours: Vec<_> = route_names().filter(|name| !name.contains('_') && *name != "unknown").collect();
        let paths: std::collections::BTreeSet<_> = ours.iter().map(|name| template(name)).collect();
        assert!(paths.iter().all(|path| path.starts_with("/v1/streams")), "{paths:?}");
        assert_eq!(paths.len(), ours.len());
    }
}
