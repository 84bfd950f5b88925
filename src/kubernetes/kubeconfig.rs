//! The kubeconfig as kubectl reads it. kube 5 reads the files and merges them, and differs from kubectl (client-go) in what
//! [`load`] and [`tidy`] make up for.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use kube::config::{Kubeconfig, KubeconfigError};
use serde_json::{Map, Value};

/// What was read, and from where.
#[derive(Debug)]
pub(super) struct Loaded {
    /// The files, for messages.
    pub(super) files: String,
    pub(super) kubeconfig: Kubeconfig,
}

/// Reads `file`, or the files of `KUBECONFIG`, or `~/.kube/config`. Files of the last two that do not exist are skipped, which
/// kube does not do in a list. If there is none, the inner error names them.
///
/// # Errors
/// If a file cannot be read or is not a kubeconfig; its name is in the message.
pub(super) fn load(file: Option<&Path>) -> anyhow::Result<Result<Loaded, String>> {
    match file {
        Some(file) => load_all(&[file.to_owned()], true),
        None => load_all(&default_paths(), false),
    }
}

fn load_all(paths: &[PathBuf], required: bool) -> anyhow::Result<Result<Loaded, String>> {
    let mut merged = Kubeconfig::default();
    let mut found = Vec::new();
    for path in paths {
        let next = match Kubeconfig::read_from(path) {
            Err(KubeconfigError::ReadConfig(error, _)) if error.kind() == ErrorKind::NotFound && !required => continue,
            // kube's message names the file.
            Err(error @ KubeconfigError::ReadConfig(..)) => return Err(error.into()),
            next => next.map_err(|error| anyhow!("{}: {error}", path.display()))?,
        };
        let next = tidy(next).map_err(|error| anyhow!("{}: {error}", path.display()))?;
        merged = merged.merge(next).map_err(|error| anyhow!("{}: {error}", path.display()))?;
        found.push(path.display().to_string());
    }
    if found.is_empty() {
        let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        return Ok(Err(format!("there is no kubeconfig ({})", paths.join(", "))));
    }
    Ok(Ok(Loaded { files: found.join(", "), kubeconfig: merged }))
}

fn default_paths() -> Vec<PathBuf> {
    let listed = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let listed: Vec<PathBuf> = std::env::split_paths(&listed).filter(|path| !path.as_os_str().is_empty()).collect();
    if !listed.is_empty() {
        return listed;
    }
    std::env::home_dir().map(|home| home.join(".kube/config")).into_iter().collect()
}

/// Fields that hold the path of a file. kube has joined them with the directory of the kubeconfig: an empty one ends with a
/// slash.
const PATHS: [&str; 4] = ["certificate-authority", "client-certificate", "client-key", "tokenFile"];
/// Fields in base64.
const DATA: [&str; 3] = ["certificate-authority-data", "client-certificate-data", "client-key-data"];

/// What client-go accepts and kube does not: empty values that mean *unset*, line breaks in base64, a server without a scheme,
/// and a token file beside a token, which takes precedence while it can be read.
fn tidy(kubeconfig: Kubeconfig) -> serde_json::Result<Kubeconfig> {
    let mut all = serde_json::to_value(kubeconfig)?;
    if all["current-context"] == "" {
        all["current-context"].take();
    }
    for (list, part) in [("clusters", "cluster"), ("users", "user"), ("contexts", "context")] {
        for named in all[list].as_array_mut().into_iter().flatten() {
            if let Some(fields) = named[part].as_object_mut() {
                tidy_fields(fields);
            }
        }
    }
    serde_json::from_value(all)
}

fn tidy_fields(fields: &mut Map<String, Value>) {
    // The name of a context's cluster must be there.
    fields.retain(|name, value| {
        let text = value.as_str().unwrap_or("set");
        name == "cluster" || !(text.is_empty() || PATHS.contains(&name.as_str()) && text.ends_with('/'))
    });
    for name in DATA {
        if let Some(Value::String(data)) = fields.get_mut(name) {
            data.retain(|character| !matches!(character, '\r' | '\n'));
        }
    }
    let tls = ["certificate-authority", "certificate-authority-data"].iter().any(|name| fields.contains_key(*name))
        || fields.get("insecure-skip-tls-verify") == Some(&Value::Bool(true));
    if let Some(Value::String(server)) = fields.get_mut("server")
        && !server.contains("://")
    {
        server.insert_str(0, if tls { "https://" } else { "http://" });
    }
    if let (true, Some(file)) = (fields.contains_key("token"), fields.get("tokenFile").and_then(Value::as_str)) {
        fields.remove(if Path::new(file).exists() { "token" } else { "tokenFile" });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    /// A directory with these files.
    fn directory(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("kubeconfig-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        for (name, text) in files {
            std::fs::write(dir.join(name), text).unwrap();
        }
        dir
    }

    fn read(dir: &Path, names: &[&str]) -> anyhow::Result<Result<Loaded, String>> {
        let paths: Vec<_> = names.iter().map(|name| dir.join(name)).collect();
        load_all(&paths, false)
    }

    fn fields(kubeconfig: &Kubeconfig, list: &str, part: &str) -> Value {
        serde_json::to_value(kubeconfig).unwrap()[list][0][part].take()
    }

    #[test]
    fn missing_files_of_a_list_are_skipped_and_the_first_value_counts() {
        let dir = directory(
            "list",
            &[
                ("first", "current-context: \"\"\nclusters: [{name: c, cluster: {server: https://one}}]\n"),
                ("second", "current-context: b\nclusters: [{name: c, cluster: {server: https://two}}]\n"),
                ("third", "current-context: c\n"),
                ("nothing", ""),
                ("broken", "clusters: {\n"),
            ],
        );
        let loaded = read(&dir, &["missing", "nothing", "first", "second", "third"]).unwrap().unwrap();
        assert_eq!(loaded.kubeconfig.current_context.as_deref(), Some("b"));
        assert_eq!(fields(&loaded.kubeconfig, "clusters", "cluster")["server"], "https://one");
        assert!(loaded.files.ends_with("third") && !loaded.files.contains("missing"), "{}", loaded.files);

        let none = read(&dir, &["missing", "lost"]).unwrap().unwrap_err();
        assert!(none.contains("missing") && none.contains("lost"), "{none}");
        let broken = format!("{:#}", read(&dir, &["first", "broken"]).unwrap_err());
        assert!(broken.contains("list/broken"), "{broken}");
        let given = format!("{:#}", load(Some(&dir.join("missing"))).unwrap_err());
        assert!(given.contains("list/missing"), "{given}");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn empty_values_are_unset_paths_are_relative_to_the_file_and_base64_may_have_line_breaks() {
        let dir = directory(
            "values",
            &[
                (
                    "config",
                    "clusters: [{name: c, cluster: {server: \"127.0.0.1:6443\", certificate-authority: ca.crt, \
                     certificate-authority-data: \"YQ==\\nYg==\\n\", proxy-url: \"\", tls-server-name: \"\"}}]\n\
                     users: [{name: u, user: {token: \"\", tokenFile: token, client-certificate: \"\", client-key: \"\", \
                     client-certificate-data: \"\", exec: {command: ./login, args: [\"\"]}}}]\n\
                     contexts: [{name: x, context: {cluster: c, user: u, namespace: \"\"}}]\n",
                ),
                ("both", "users: [{name: u, user: {token: inline, tokenFile: token}}]\n"),
                ("gone", "users: [{name: u, user: {token: inline, tokenFile: other}}]\n"),
                ("token", "abc\n"),
            ],
        );
        let path = |name: &str| Value::from(dir.join(name).display().to_string());
        let kubeconfig = read(&dir, &["config"]).unwrap().unwrap().kubeconfig;
        let cluster = serde_json::json!({
            "server": "https://127.0.0.1:6443",
            "certificate-authority": path("ca.crt"),
            "certificate-authority-data": "YQ==Yg==",
        });
        assert_eq!(fields(&kubeconfig, "clusters", "cluster"), cluster);
        let user = fields(&kubeconfig, "users", "user");
        assert_eq!(user["tokenFile"], path("token"));
        assert_eq!(user.as_object().unwrap().keys().collect::<Vec<_>>(), ["exec", "tokenFile"]);
        assert_eq!(user["exec"]["args"], serde_json::json!([""]));
        assert_eq!(fields(&kubeconfig, "contexts", "context"), serde_json::json!({ "cluster": "c", "user": "u" }));

        for (file, kept) in [("both", "tokenFile"), ("gone", "token")] {
            let kubeconfig = read(&dir, &[file]).unwrap().unwrap().kubeconfig;
            let user = fields(&kubeconfig, "users", "user");
            assert_eq!(user.as_object().unwrap().keys().collect::<Vec<_>>(), [kept], "{file}");
        }
        std::fs::remove_dir_all(dir).unwrap();
    }
}
