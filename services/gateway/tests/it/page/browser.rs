//! What a browser does, as far as it matters here: keeps cookies, and sends forms of the pages it got.

use std::collections::BTreeMap;

use reqwest::Method;

use crate::world::{Ask, Got, World};

/// A browser.
pub(crate) struct Browser<'a> {
    world: &'a World,
    pub(crate) cookies: BTreeMap<String, String>,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        Self { world, cookies: BTreeMap::new() }
    }

    /// Logged in with the world's key.
    pub(crate) async fn of(world: &'a World) -> Self {
        Self::with_key(world, &world.key).await
    }

    pub(crate) async fn with_key(world: &'a World, key: &str) -> Self {
        let mut browser = Self::new(world);
        let got = browser.log_in(key, "").await;
        assert_eq!((got.status.as_u16(), got.header("location")), (303, "/ui/jobs"), "{got:?}");
        browser
    }

    /// Loads the login page and sends its form.
    pub(crate) async fn log_in(&mut self, key: &str, then: &str) -> Got {
        let login = self.get("/ui/login").await;
        self.send("/ui/login", &[("csrf", &csrf(&login.text)), ("key", key), ("then", then)]).await
    }

    pub(crate) fn ask(&self, method: Method, path: &str) -> Ask {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.world.bare(method, path).header("cookie", &cookies.join("; "))
    }

    pub(crate) async fn get(&mut self, path: &str) -> Got {
        let ask = self.ask(Method::GET, path);
        self.keep(ask.send().await)
    }

    /// A page that is there.
    pub(crate) async fn page(&mut self, path: &str) -> String {
        let got = self.get(path).await;
        assert_eq!(
            (got.status.as_u16(), got.header("content-type")),
            (200, "text/html; charset=utf-8"),
            "{path}: {got:?}"
        );
        got.text
    }

    /// Sends a form.
    pub(crate) async fn send(&mut self, path: &str, fields: &[(&str, &str)]) -> Got {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let ask = self.ask(Method::POST, path).body("application/x-www-form-urlencoded", body);
        self.keep(ask.send().await)
    }

    /// Presses a button of a page.
    pub(crate) async fn press(&mut self, page: &str, action: &str) -> Got {
        let html = self.page(page).await;
        assert!(html.contains(&format!("action=\"{action}\"")), "no button for {action} in {html}");
        self.send(action, &[("csrf", &csrf(&html))]).await
    }

    fn keep(&mut self, got: Got) -> Got {
        for cookie in got.headers.get_all("set-cookie") {
            let (name, value) = cookie.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        got
    }
}

/// The token that the forms of a page bear.
#[track_caller]
pub(crate) fn csrf(html: &str) -> String {
    let after = html.split("name=\"csrf\" value=\"").nth(1).unwrap_or_else(|| panic!("no token in {html}"));
    after.split('"').next().unwrap().to_owned()
}
