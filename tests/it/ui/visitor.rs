//! Visitor of the pages without JavaScript: follows links and sends forms.

use reqwest::Method;

use crate::support::{Answer, TestApp};

/// Browser after it has loaded the page: the form's token, and the cookie that must match it.
pub struct Visitor<'a> {
    pub app: &'a TestApp,
    pub token: String,
    pub cookie: String,
}

impl<'a> Visitor<'a> {
    pub async fn new(app: &'a TestApp) -> Self {
        let page = app.get("/").await.ok();
        let cookie = page.header("set-cookie").expect("a cookie for the form");
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let text = page.text();
        let token = between(&text, "name=\"csrf_token\" value=\"", "\"").to_owned();
        Self { app, token, cookie }
    }

    pub async fn post(&self, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        let mut form = vec![("csrf_token", self.token.as_str())];
        form.extend(fields);
        self.post_form(&form, headers).await
    }

    /// Presses one of the buttons of a file's page.
    pub async fn press(&self, path: &str) -> Answer {
        let request = self.app.request(Method::POST, path).header("cookie", &self.cookie);
        Answer::of(request.form(&[("csrf_token", &self.token)])).await
    }

    pub async fn post_form(&self, form: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        let request = self.app.request(Method::POST, "/ui/files").header("cookie", &self.cookie);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Answer::of(request.form(form)).await
    }
}

/// Returns the text between two others.
pub fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}"));
    rest.split_once(after).unwrap().0
}
