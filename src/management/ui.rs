//! The page by which people see and steer the broker: the files of `ui/`, each under its name.
//!
//! ```text
//! /, /index.html -> ui/index.html      /ui/NAME -> ui/NAME      /favicon.ico -> ui/favicon.svg
//! ```
//! A name is looked up in a table of what there is: no path that somebody sends is ever opened. Nobody has to log in to see the
//! page; it logs in by itself, and shows what the API lets its user see.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::answer::{Answer, Refusal};
use super::routes::{Need, Routes};
use super::site::Api;

pub fn routes(routes: Routes) -> Routes {
    use Need::Nothing;
    routes.get("/", Nothing, page).get("/index.html", Nothing, page).get("/ui/{*name}", Nothing, asset).get(
        "/favicon.ico",
        Nothing,
        icon,
    )
}

/// The files as they are sent.
pub struct Ui {
    /// What all paths begin with: the page names everything from there.
    prefix: String,
    assets: OnceLock<Arc<Assets>>,
}

/// By name: `main.js`, `pages/queues.js`.
type Assets = HashMap<String, Asset>;

struct Asset {
    plain: Bytes,
    /// Once somebody has asked for it.
    gzip: OnceLock<Bytes>,
    /// Of the plain one, in hexadecimal.
    digest: String,
    kind: &'static str,
}

impl Ui {
    pub fn new(prefix: &str) -> Ui {
        Ui { prefix: prefix.to_owned(), assets: OnceLock::new() }
    }

    /// A debug build looks anew each time: what is edited is there.
    fn assets(&self) -> Arc<Assets> {
        if cfg!(debug_assertions) { self.read() } else { self.assets.get_or_init(|| self.read()).clone() }
    }

    fn read(&self) -> Arc<Assets> {
        let asset = |(name, bytes): (String, Cow<'static, [u8]>)| {
            let bytes = if name == PAGE { based(&bytes, &self.prefix).into() } else { bytes };
            (name.clone(), Asset::new(&name, bytes))
        };
        Arc::new(files().into_iter().map(asset).collect())
    }

    fn answer(&self, name: &str, asked: &HeaderMap) -> Answer {
        let assets = self.assets();
        let asset = assets.get(name).ok_or(Refusal::NotFound)?;
        let is_gzip = takes_gzip(asked);
        // What is compressed has other octets, and thus another tag.
        let tag = format!("\"{}{}\"", asset.digest, if is_gzip { "-gzip" } else { "" });
        let common =
            [(header::ETAG, &*tag), (header::CACHE_CONTROL, "no-cache"), (header::VARY, "accept-encoding")];
        if is_known(asked, &tag) {
            return Ok((StatusCode::NOT_MODIFIED, common, GUARDS).into_response());
        }
        let kind = [(header::CONTENT_TYPE, asset.kind)];
        let body = if is_gzip { asset.gzip() } else { asset.plain.clone() };
        let mut answer = (common, GUARDS, kind, body).into_response();
        if is_gzip {
            answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(answer)
    }
}

impl Asset {
    fn new(name: &str, bytes: Cow<'static, [u8]>) -> Asset {
        let digest = Sha256::digest(&bytes)[..16].iter().map(|octet| format!("{octet:02x}")).collect();
        let plain = match bytes {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => bytes.into(),
        };
        Asset { plain, gzip: OnceLock::new(), digest, kind: kind(name) }
    }

    fn gzip(&self) -> Bytes {
        let compressed = || {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
            gzip.write_all(&self.plain).and_then(|()| gzip.finish()).expect("memory takes all").into()
        };
        self.gzip.get_or_init(compressed).clone()
    }
}

/// Every file with its name.
#[cfg(not(debug_assertions))]
fn files() -> Vec<(String, Cow<'static, [u8]>)> {
    static FOLDER: include_dir::Dir<'_> = include_dir::include_dir!("$CARGO_MANIFEST_DIR/src/management/ui");
    let mut folders = vec![&FOLDER];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        folders.extend(folder.dirs());
        let named = |file: &'static include_dir::File<'static>| {
            (file.path().to_string_lossy().into_owned(), Cow::Borrowed(file.contents()))
        };
        files.extend(folder.files().map(named));
    }
    files
}

/// As they lie in the source now. What cannot be read is not there.
#[cfg(debug_assertions)]
fn files() -> Vec<(String, Cow<'static, [u8]>)> {
    let root = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/management/ui"));
    let mut folders = vec![root.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if let (Ok(name), Ok(bytes)) = (path.strip_prefix(root), std::fs::read(&path)) {
                files.push((name.to_string_lossy().into_owned(), bytes.into()));
            }
        }
    }
    files
}

/// The page with the place that its links begin at.
fn based(page: &[u8], prefix: &str) -> Vec<u8> {
    let page = String::from_utf8_lossy(page);
    page.replace("<base href=\"/\"", &format!("<base href=\"{prefix}/\"")).into_bytes()
}

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some(_) | None => "application/octet-stream",
    }
}

fn takes_gzip(asked: &HeaderMap) -> bool {
    listed(asked, header::ACCEPT_ENCODING).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let is_refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case("gzip") && !is_refused
    })
}

/// Whether whoever asks has it already. A proxy may have made the tag a weak one.
fn is_known(asked: &HeaderMap, tag: &str) -> bool {
    listed(asked, header::IF_NONE_MATCH)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

fn listed(asked: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = asked.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

async fn page(State(api): State<Api>, asked: HeaderMap) -> Answer {
    api.ui.answer(PAGE, &asked)
}

async fn asset(State(api): State<Api>, Path(name): Path<String>, asked: HeaderMap) -> Answer {
    api.ui.answer(&name, &asked)
}

async fn icon(State(api): State<Api>, asked: HeaderMap) -> Answer {
    api.ui.answer("favicon.svg", &asked)
}

const PAGE: &str = "index.html";

/// Nothing comes in from elsewhere, nothing goes there, no script stands in the page, and no other page may frame it.
const GUARDS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         form-action 'self'; base-uri 'self'; frame-ancestors 'none'",
    ),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(given: &[(&'static str, &'static str)]) -> HeaderMap {
        given.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn gzip_is_for_those_who_take_it() {
        let takes = |accept| takes_gzip(&headers(&[("accept-encoding", accept)]));
        assert!(takes("gzip") && takes("deflate, GZIP;q=0.5") && takes("br,gzip ; q=1"));
        assert!(
            !takes("") && !takes("br") && !takes("gzip;q=0") && !takes("gzip; q=0.000") && !takes("xgzip")
        );
        assert!(!takes_gzip(&headers(&[])));
    }

    #[test]
    fn a_tag_is_known_among_others_and_weakened() {
        let known = |tags| is_known(&headers(&[("if-none-match", tags)]), "\"a\"");
        assert!(known("\"a\"") && known("\"b\", \"a\"") && known("W/\"a\"") && known("*"));
        assert!(!known("\"b\"") && !known("a") && !known(""));
    }

    #[test]
    fn what_is_compressed_is_the_same() {
        let ui = Ui::new("");
        let assets = ui.assets();
        let page = &assets[PAGE];
        let mut plain = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*page.gzip()), &mut plain).unwrap();
        assert_eq!(plain, page.plain);
    }

    #[test]
    fn every_file_is_of_a_kind_that_browsers_know() {
        for (name, asset) in Ui::new("").assets().iter() {
            assert_ne!(asset.kind, kind(""), "{name}");
        }
    }

    #[test]
    fn the_page_begins_its_links_at_the_prefix() {
        let page = |prefix| String::from_utf8(Ui::new(prefix).assets()[PAGE].plain.to_vec()).unwrap();
        assert!(page("").contains("<base href=\"/\""));
        assert!(page("/a/b").contains("<base href=\"/a/b/\""));
    }
}
