//! Style sheet, scripts and icon, compiled into the executable. Their names contain a hash of their bytes, so that browsers may
//! cache them for ever.

use std::fmt::Write;
use std::sync::LazyLock;

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use sha2::{Digest, Sha256};

use crate::domain::{Error, ErrorCode};
use crate::http::error::HttpResult;

const CACHE_FOR_EVER: &str = "public, max-age=31536000, immutable";

struct Asset {
    stem: &'static str,
    extension: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    /// `stem.hash.extension`
    name: String,
}

static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let bytes = include_bytes!("../../../templates/assets/app.css");
    Asset::new("app", "css", "text/css; charset=utf-8", bytes)
});
static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let bytes = include_bytes!("../../../templates/assets/app.js");
    Asset::new("app", "js", "text/javascript; charset=utf-8", bytes)
});
static UPLOAD_SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let bytes = include_bytes!("../../../templates/assets/upload.js");
    Asset::new("upload", "js", "text/javascript; charset=utf-8", bytes)
});
/// tus-js-client 4.3.1 as its makers built it.
static TUS: LazyLock<Asset> = LazyLock::new(|| {
    let bytes = include_bytes!("../../../templates/assets/tus.min.js");
    Asset::new("tus", "js", "text/javascript; charset=utf-8", bytes)
});
/// Licences of tus-js-client and of what is built into it, which must go where it goes.
static TUS_LICENCES: LazyLock<Asset> = LazyLock::new(|| {
    let bytes = include_bytes!("../../../templates/assets/tus.txt");
    Asset::new("tus", "txt", "text/plain; charset=utf-8", bytes)
});
static ICON: LazyLock<Asset> = LazyLock::new(|| {
    let bytes = include_bytes!("../../../templates/assets/icon.svg");
    Asset::new("icon", "svg", "image/svg+xml", bytes)
});

impl Asset {
    fn new(
        stem: &'static str,
        extension: &'static str,
        content_type: &'static str,
        bytes: &'static [u8],
    ) -> Self {
        let name = format!("{stem}.{}.{extension}", hash(bytes));
        Self { stem, extension, content_type, bytes, name }
    }

    /// Tells whether this asset has the name in any build: during a rolling upgrade, a page of one version may ask an instance of
    /// the other.
    fn has_name_in_any_build(&self, name: &str) -> bool {
        let mut parts = name.split('.');
        parts.next() == Some(self.stem)
            && parts.next().is_some()
            && parts.next() == Some(self.extension)
            && parts.next().is_none()
    }
}

/// Returns the file name of the style sheet.
pub fn style() -> &'static str {
    &STYLE.name
}

/// Returns the file name of the script.
pub fn script() -> &'static str {
    &SCRIPT.name
}

/// Returns the file name of the script that uploads.
pub fn upload_script() -> &'static str {
    &UPLOAD_SCRIPT.name
}

/// Returns the file name of the client of tus that this script uses.
pub fn tus() -> &'static str {
    &TUS.name
}

/// Returns the file name of that client's licences.
pub fn tus_licences() -> &'static str {
    &TUS_LICENCES.name
}

/// Returns all assets.
fn all() -> [&'static Asset; 6] {
    [&STYLE, &SCRIPT, &UPLOAD_SCRIPT, &TUS, &TUS_LICENCES, &ICON]
}

/// Returns the file name of the icon.
pub fn icon() -> &'static str {
    &ICON.name
}

/// Returns the first 64 bits of the SHA-256 in hexadecimal: enough to tell versions apart.
fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).fold(String::new(), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Answers `GET /assets/{name}`. Only under its own hash an asset may be cached for ever.
pub(in crate::http) async fn serve(name: web::Path<String>) -> HttpResult {
    let found = all().into_iter().find(|asset| asset.has_name_in_any_build(&name));
    let asset =
        found.ok_or_else(|| Error::new(ErrorCode::AssetNotFound, "there is no asset with this name"))?;
    let cache = if asset.name == *name { CACHE_FOR_EVER } else { "no-cache" };
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, asset.content_type))
        .insert_header((header::CACHE_CONTROL, cache))
        .body(asset.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(name: &str) -> HttpResult {
        serve(web::Path::from(name.to_owned())).await
    }

    #[tokio::test]
    async fn an_asset_is_cached_for_ever_only_under_its_own_hash() {
        let ours = get(&STYLE.name).await.unwrap();
        assert_eq!(ours.headers().get(header::CACHE_CONTROL).unwrap(), CACHE_FOR_EVER);
        assert_eq!(ours.headers().get(header::CONTENT_TYPE).unwrap(), "text/css; charset=utf-8");
        let other = get("app.0000000000000000.css").await.unwrap();
        assert_eq!(other.headers().get(header::CACHE_CONTROL).unwrap(), "no-cache");
    }

    #[tokio::test]
    async fn a_name_that_is_no_asset_is_not_found() {
        for name in ["", "app", "app.css", "app.x.y.css", "../app.x.css", "icon.x.css", "app.x.map"] {
            assert!(get(name).await.is_err(), "{name:?}");
        }
    }

    #[test]
    fn no_asset_loads_anything_from_another_origin() {
        for asset in all() {
            // Its addresses are those that it is given; the policy of the pages refuses all others.
            if [TUS.name.as_str(), &TUS_LICENCES.name].contains(&asset.name.as_str()) {
                continue;
            }
            let text = std::str::from_utf8(asset.bytes).unwrap();
            let foreign = text.replace("http://www.w3.org/2000/svg", "").contains("://");
            assert!(!foreign && !text.contains("data:"), "{}", asset.name);
        }
    }
}
