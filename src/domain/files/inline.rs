//! Media types that a browser may show in place of saving them.

use super::MediaType;

/// Tells whether the content of a file may be shown inline: images, sound, video, PDF and plain text. Anything that can run a
/// script in the service's origin is only saved: HTML, SVG, XML, JavaScript, and whatever is not named here.
pub fn may_show_inline(media_type: &str) -> bool {
    let Ok(media_type) = media_type.parse::<MediaType>() else { return false };
    match (media_type.top_level(), media_type.subtype()) {
        ("image" | "audio" | "video", subtype) => {
            !subtype.starts_with("svg") && !subtype.split('+').any(|part| matches!(part, "xml" | "html"))
        }
        ("application", "pdf") | ("text", "plain") => true,
        _ => false,
    }
}

/// Returns the Content-Type of a file's content. Plain text names UTF-8, so that browsers don't guess.
pub fn content_type(media_type: &str) -> String {
    if media_type == "text/plain" { "text/plain; charset=utf-8".to_owned() } else { media_type.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_sound_video_and_plain_text_are_shown() {
        for media_type in [
            "image/png",
            "image/jpeg",
            "IMAGE/GIF",
            "image/webp",
            "image/avif",
            "image/vnd.microsoft.icon",
            "audio/mpeg",
            "audio/ogg; codecs=opus",
            "video/mp4",
            "video/webm",
            "application/pdf",
            "text/plain",
            "text/plain; charset=utf-8",
        ] {
            assert!(may_show_inline(media_type), "{media_type}");
        }
    }

    #[test]
    fn what_can_run_a_script_is_never_shown() {
        for media_type in [
            "image/svg+xml",
            "Image/SVG+XML; charset=utf-8",
            "image/svg",
            "image/svg-xml",
            "image/x+xml",
            "image/xml",
            "video/x+xml+gzip",
            "image/html",
            "text/html",
            "application/xhtml+xml",
            "text/xml",
            "application/xml",
            "text/javascript",
            "application/javascript",
            "text/css",
            "text/csv",
            "text/markdown",
            "text/vtt",
            "application/json",
            "application/octet-stream",
            "application/x-shockwave-flash",
            "application/zip",
            "multipart/x-mixed-replace",
            "message/rfc822",
            "font/woff2",
            "model/gltf-binary",
            "application/pdf+xml",
            "text/plain/html",
            "text/html, image/png",
            "image/*",
            "image/png\r\nx: y",
            "image",
            "",
        ] {
            assert!(!may_show_inline(media_type), "{media_type}");
        }
    }

    #[test]
    fn plain_text_names_its_encoding() {
        assert_eq!(content_type("text/plain"), "text/plain; charset=utf-8");
        assert_eq!(content_type("text/plain; charset=utf-8"), "text/plain; charset=utf-8");
        assert_eq!(content_type("image/png"), "image/png");
    }
}
