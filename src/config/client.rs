//! Settings of the commands that use a running server as any other client does: `upload` and `demo`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

use super::Env;
use super::tls::{Authorities, read_authorities};

/// Address of a server: http or https, with the sub-path that it has, and without user, query and fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl(Url);

/// Error of a text that is no [`ServerUrl`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address of a server is a URL like http://127.0.0.1:3006, without user, query and fragment")]
pub struct InvalidServerUrl;

impl ServerUrl {
    /// Returns the address of a path below, which has no slash at its beginning.
    pub fn join(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}{path}", self.0.path()));
        url
    }
}

impl FromStr for ServerUrl {
    type Err = InvalidServerUrl;

    fn from_str(text: &str) -> Result<Self, InvalidServerUrl> {
        let mut url = Url::parse(text).map_err(|_| InvalidServerUrl)?;
        let is_plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !is_plain {
            return Err(InvalidServerUrl);
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(Self(url))
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// Settings of the client.
#[derive(Debug)]
pub struct ClientConfig {
    pub server: ServerUrl,
    pub authorities: Authorities,
    /// Folder of what is remembered from one run to the next; `None` when the environment names no home.
    pub state_dir: Option<PathBuf>,
}

impl ClientConfig {
    /// Reads the settings; `server` overrides the environment's.
    pub fn read(env: &mut Env, server: Option<ServerUrl>) -> Self {
        let default = ServerUrl(Url::parse("http://127.0.0.1:3006/").unwrap_or_else(|_| unreachable!()));
        let named = env.parse(&["FILESYS_URL"], default, "a URL like http://127.0.0.1:3006");
        Self {
            server: server.unwrap_or(named),
            authorities: read_authorities(env, &["FILESYS_CA"]).unwrap_or_default(),
            state_dir: read_state_dir(env),
        }
    }
}

/// Returns the folder by the XDG Base Directory Specification, in which relative paths don't count.
fn read_state_dir(env: &mut Env) -> Option<PathBuf> {
    let own = env.inherited(&["XDG_STATE_HOME"]).map(PathBuf::from).filter(|path| path.is_absolute());
    let below_home = || {
        let home = env.inherited(&["HOME"]).map(PathBuf::from).filter(|path| path.is_absolute())?;
        Some(home.join(".local/state"))
    };
    own.or_else(below_home).map(|path| path.join("filesys"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_server_is_read_in_one_form() {
        for (text, shown, upload) in [
            ("http://h", "http://h", "http://h/uploads/1"),
            ("https://h:8443/sub/", "https://h:8443/sub", "https://h:8443/sub/uploads/1"),
            ("HTTP://[::1]:3006/a/b", "http://[::1]:3006/a/b", "http://[::1]:3006/a/b/uploads/1"),
        ] {
            let url: ServerUrl = text.parse().unwrap();
            assert_eq!((url.to_string().as_str(), url.join("uploads/1").as_str()), (shown, upload));
        }
        for bad in ["", "h:3006", "ftp://h", "http://u:hunter2@h", "http://h/?a", "http://h/#a", "http://"] {
            assert_eq!(bad.parse::<ServerUrl>(), Err(InvalidServerUrl), "{bad}");
        }
    }

    #[test]
    fn state_is_kept_where_the_environment_says() {
        let dir = |vars: &[(&str, &str)]| {
            let dir = read_state_dir(&mut Env::of(vars.iter().copied()));
            dir.map(|dir| dir.to_str().unwrap().to_owned())
        };
        assert_eq!(dir(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")]).as_deref(), Some("/s/filesys"));
        let home = Some("/h/.local/state/filesys");
        assert_eq!(dir(&[("HOME", "/h")]).as_deref(), home);
        assert_eq!(dir(&[("XDG_STATE_HOME", "s"), ("HOME", "/h")]).as_deref(), home);
        assert_eq!(dir(&[]), None);
    }

    #[test]
    fn a_server_of_the_command_line_goes_before_the_environments() {
        let read = |server: Option<&str>, vars: &[(&str, &str)]| {
            let mut env = Env::of(vars.iter().copied());
            let server = server.map(|server| server.parse().unwrap());
            let config = ClientConfig::read(&mut env, server);
            env.finish().map(|()| config.server.to_string()).map_err(|error| error.to_string())
        };
        assert_eq!(read(None, &[]).unwrap(), "http://127.0.0.1:3006");
        let set = [("FILESYS_URL", "http://a")];
        assert_eq!(read(None, &set).unwrap(), "http://a");
        assert_eq!(read(Some("http://b"), &set).unwrap(), "http://b");
        let problem = read(None, &[("FILESYS_URL", "http://u:hunter2@h")]).unwrap_err();
        assert!(problem.contains("FILESYS_URL") && !problem.contains("hunter2"), "{problem}");
    }
}
