//! Answers told again as they change: a stream of server-sent events, for pages that stay open.
//!
//! ```text
//! each second: still logged in? -> each path, through all routes -> another status or body? -> an event
//! ```
//! Each path is asked for as whoever asks for the stream would ask: what the user may not see, or no longer, is not told.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::{Extensions, HeaderMap, StatusCode, Uri, header};
use axum::response::IntoResponse;
use axum::{Extension, Router};
use futures_lite::stream::unfold;
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};
use tower::ServiceExt;

use super::answer::{Answer, Refusal};
use super::login::OverSocket;
use super::routes::{Need, Routes};
use super::site::Api;

pub fn routes(routes: Routes) -> Routes {
    routes.get("/api/haremq/live", Need::Management, begin)
}

/// Whether it is the request of an `EventSource`, which cannot set a header.
pub fn is_by_script(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).is_some_and(|kind| kind == KIND)
}

/// All routes, as they are asked from inside.
#[derive(Clone)]
pub struct Inner(pub Router);

/// How many more streams there may be; one that finds no room is refused.
pub struct Streams(Arc<Semaphore>);

impl Default for Streams {
    fn default() -> Streams {
        Streams(Arc::new(Semaphore::new(STREAMS_MAX)))
    }
}

/// A stream. It waits for whoever reads it, and a look for the end of the one before.
struct Live {
    router: Router,
    asker: Asker,
    watched: Vec<Watched>,
    due: Instant,
    sent: Instant,
    /// Given back with the stream, which ends with its connection.
    _room: OwnedSemaphorePermit,
}

struct Watched {
    uri: Uri,
    /// Of what was sent last.
    digest: Option<[u8; 32]>,
}

/// What a request says of who sent it, and from where.
struct Asker {
    headers: HeaderMap,
    extensions: Extensions,
}

impl Live {
    /// What to send next, when there is something; nothing if the login has ended.
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            sleep_until(self.due).await;
            let (status, _) = ask(&self.router, self.asker.request(&Uri::from_static(LOGIN))).await;
            if status == StatusCode::UNAUTHORIZED {
                return None;
            }
            let mut events = Vec::new();
            for (at, watched) in self.watched.iter_mut().enumerate() {
                let (status, body) = ask(&self.router, self.asker.request(&watched.uri)).await;
                events.extend(watched.news(event(at, status, body.as_deref())));
            }
            self.due = Instant::now() + TICK;
            if events.is_empty() && self.sent.elapsed() >= SILENCE_MAX {
                events.extend(b":\n\n");
            }
            if !events.is_empty() {
                self.sent = Instant::now();
                return Some(events);
            }
        }
    }
}

impl Watched {
    /// The error is the reason of a 400.
    fn new(path: &str) -> Result<Watched, String> {
        let uri = Uri::try_from(format!("/api/{path}")).map_err(|error| format!("{path}: {error}"))?;
        let asked = uri.path().trim_end_matches('/');
        let lies_in = |place: &&str| {
            asked.strip_prefix(*place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if NOT_LIVE.iter().any(lies_in) {
            return Err(format!("{path} cannot be watched"));
        }
        Ok(Watched { uri, digest: None })
    }

    /// The event if it is another than the last.
    fn news(&mut self, event: Vec<u8>) -> Vec<u8> {
        let digest = Some(Sha256::digest(&event).into());
        if std::mem::replace(&mut self.digest, digest) == digest { Vec::new() } else { event }
    }
}

impl Asker {
    fn of(request: &Request) -> Asker {
        let mut headers = HeaderMap::new();
        for name in [header::AUTHORIZATION, header::COOKIE] {
            for value in request.headers().get_all(&name) {
                headers.append(&name, value.clone());
            }
        }
        let mut extensions = Extensions::new();
        request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| extensions.insert(*peer));
        request.extensions().get::<OverSocket>().map(|socket| extensions.insert(*socket));
        Asker { headers, extensions }
    }

    fn request(&self, uri: &Uri) -> Request {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = self.headers.clone();
        *request.extensions_mut() = self.extensions.clone();
        request
    }
}

/// The status, and the body if it is JSON.
async fn ask(router: &Router, request: Request) -> (StatusCode, Option<Bytes>) {
    let answer = router.clone().oneshot(request).await.unwrap_or_else(|never: Infallible| match never {});
    let status = answer.status();
    if answer.headers().get(header::CONTENT_TYPE).is_none_or(|kind| kind != "application/json") {
        return (status, None);
    }
    match to_bytes(answer.into_body(), BODY_BYTES_MAX).await {
        Ok(body) => (status, Some(body)),
        Err(_) => (StatusCode::PAYLOAD_TOO_LARGE, None),
    }
}

fn event(at: usize, status: StatusCode, body: Option<&[u8]>) -> Vec<u8> {
    let mut event = format!("event: {at}\ndata: {{\"status\":{},\"body\":", status.as_u16()).into_bytes();
    // In JSON a line break is white space; here it would end the event.
    let is_break = |octet| matches!(octet, b'\r' | b'\n');
    event.extend(body.unwrap_or(b"null").iter().map(|&octet| if is_break(octet) { b' ' } else { octet }));
    event.extend(b"}\n\n");
    event
}

async fn begin(
    State(api): State<Api>,
    Extension(Inner(router)): Extension<Inner>,
    Query(asked): Query<Vec<(String, String)>>,
    request: Request,
) -> Answer {
    let paths = asked.iter().filter(|(name, _)| name == "of").map(|(_, path)| Watched::new(path));
    let watched = paths.collect::<Result<Vec<_>, _>>().map_err(Refusal::BadRequest)?;
    if watched.is_empty() || watched.len() > PATHS_MAX {
        return Err(Refusal::BadRequest(format!(
            "from 1 to {PATHS_MAX} paths are watched, each named by `of`"
        )));
    }
    let room = api.streams.0.clone().try_acquire_owned().map_err(|_| Refusal::Unavailable)?;
    let (asker, now) = (Asker::of(&request), Instant::now());
    let live = Live { router, asker, watched, due: now, sent: now, _room: room };
    let events = unfold(live, async |mut live| {
        let events = live.next().await?;
        Some((Ok::<_, Infallible>(events), live))
    });
    let kind = (header::CONTENT_TYPE, KIND);
    Ok(([kind, (header::CACHE_CONTROL, "no-store")], Body::from_stream(events)).into_response())
}

const KIND: &str = "text/event-stream";
/// Answers whoever is logged in.
const LOGIN: &str = "/api/whoami";
/// What asks for itself, is a copy of all that there is, does something, or takes long on purpose.
const NOT_LIVE: [&str; 5] = [
    "/api/haremq/live",
    "/api/definitions",
    "/api/all-configuration",
    "/api/aliveness-test",
    "/api/auth/hash_password",
];
/// From the end of one look to the beginning of the next.
const TICK: Duration = Duration::from_secs(1);
/// After that much of it a comment is sent: proxies end connections on which nothing happens, often after 60 s.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Of one stream: a page shows a few lists at a time.
const PATHS_MAX: usize = 8;
/// Pages that are open at the same time. Each has a request's work a second for each of its paths.
const STREAMS_MAX: usize = 256;
/// Of one answer: some thousands of queues. A larger one is told as 413; lists have pages.
const BODY_BYTES_MAX: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_watched_is_refused() {
        for path in [
            "haremq/live",
            "haremq/live/?of=x",
            "definitions",
            "definitions/%2F",
            "all-configuration?x",
            "a b",
        ] {
            assert!(Watched::new(path).is_err(), "{path}");
        }
        for path in ["overview", "queues/%2F?page=1&columns=name", "haremq/lively", "definitions-of-mine"] {
            assert_eq!(Watched::new(path).unwrap().uri, format!("/api/{path}").as_str());
        }
    }

    #[test]
    fn an_event_is_a_line_and_is_sent_once() {
        let event = |body| event(1, StatusCode::OK, body);
        assert_eq!(event(Some(b"{\r\n}")), b"event: 1\ndata: {\"status\":200,\"body\":{  }}\n\n");
        assert_eq!(event(None), b"event: 1\ndata: {\"status\":200,\"body\":null}\n\n");
        let mut watched = Watched::new("overview").unwrap();
        let mut news = |body| !watched.news(event(body)).is_empty();
        assert_eq!([news(None), news(None), news(Some(b"1")), news(None)], [true, false, true, true]);
    }
}
