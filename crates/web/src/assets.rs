//! The files of the page, inside the program.
//!
//! A file's address holds the hash of its bytes, so it may be kept for ever: a new program has new addresses.

use std::sync::LazyLock;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

/// One embedded file.
#[derive(Debug)]
pub(crate) struct Asset {
    /// The address of the file: `/assets/<stem>-<hash>.<extension>`.
    pub(crate) url: String,
    kind: &'static str,
    bytes: &'static [u8],
}

impl Asset {
    fn new(stem: &str, extension: &str, kind: &'static str, bytes: &'static [u8]) -> Asset {
        let hash = hex::encode(&Sha256::digest(bytes)[..8]);
        Asset { url: format!("/assets/{stem}-{hash}.{extension}"), kind, bytes }
    }
}

/// The style sheet.
pub(crate) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("style", "css", "text/css; charset=utf-8", include_bytes!("../assets/style.css")));
/// Live progress.
pub(crate) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("live", "js", "text/javascript; charset=utf-8", include_bytes!("../assets/live.js")));
/// Shortcuts and the palette, on every page.
pub(crate) static APP: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("app", "js", "text/javascript; charset=utf-8", include_bytes!("../assets/app.js")));
/// Form and text with one cursor, lists that answer while one types.
pub(crate) static OBJECT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("object", "js", "text/javascript; charset=utf-8", include_bytes!("../assets/object.js"))
});
/// The sign in the browser's tab.
pub(crate) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_bytes!("../assets/icon.svg")));

/// Answers `GET /assets/{file}`. Old addresses are not found: their bytes are gone.
pub(crate) async fn get(axum::extract::Path(file): axum::extract::Path<String>) -> Response {
    let all = [&*STYLE, &*SCRIPT, &*APP, &*OBJECT, &*ICON];
    match all.into_iter().find(|a| a.url.strip_prefix("/assets/") == Some(&file)) {
        Some(asset) => (
            [(header::CONTENT_TYPE, asset.kind), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")],
            asset.bytes,
        )
            .into_response(),
        None => (StatusCode::NOT_FOUND, "There is no such file; reload the page that asked for it.\n").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_a_page_loads_is_within_its_budget() {
        let scripts = SCRIPT.bytes.len() + APP.bytes.len() + OBJECT.bytes.len();
        assert!(scripts <= 20 * 1024, "the scripts have {scripts} bytes");
        let all = STYLE.bytes.len() + scripts + ICON.bytes.len();
        assert!(all <= 60 * 1024, "{all} bytes");
    }
}
