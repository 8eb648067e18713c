//! Files that the arguments name: folders with all that is in them, symbolic links not followed out of them.

use std::collections::HashSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// File to upload.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::commands) struct PlannedFile {
    /// Absolute path without symbolic links.
    pub path: PathBuf,
    /// Path as people know it, below the argument that led to it.
    pub shown: String,
    pub name: String,
    /// Folder that the file gets on the server.
    pub folder: Option<String>,
}

/// Files in the order of their upload, and what can't be uploaded.
#[derive(Debug, Default)]
pub(in crate::commands) struct Plan {
    pub files: Vec<PlannedFile>,
    /// Sentences about arguments and files that can't be read.
    pub problems: Vec<String>,
    /// Sentences about what is left out on purpose.
    pub notes: Vec<String>,
    seen: HashSet<(PathBuf, Option<String>)>,
}

/// Folder that is being read.
struct Branch {
    path: PathBuf,
    shown: PathBuf,
    folder: Option<String>,
}

impl Plan {
    /// Reads the folders among the arguments. Files get the folder `base`, and below it the folders in which they are, from
    /// the argument on.
    pub fn read(arguments: &[PathBuf], base: Option<&str>) -> Self {
        let mut plan = Self::default();
        let base = base.map(|base| base.trim_matches('/').to_owned()).filter(|base| !base.is_empty());
        for argument in arguments {
            match argument.canonicalize() {
                Err(error) => plan.unreadable(argument, &error),
                Ok(path) if path.is_dir() => {
                    // `.` and `..` have no name of their own.
                    let named =
                        argument.components().next_back().filter(|last| *last != Component::ParentDir);
                    let name = argument.file_name().filter(|_| named.is_some());
                    let folder = match name {
                        Some(name) => Some(below(base.as_deref(), &folder_name(&name.to_string_lossy()))),
                        None => base.clone(),
                    };
                    plan.walk(Branch { path, shown: argument.clone(), folder });
                }
                Ok(path) if path.is_file() => {
                    let name = argument.file_name().or_else(|| path.file_name());
                    let name = name.unwrap_or_default().to_string_lossy().into_owned();
                    plan.add(path, argument, name, base.clone());
                }
                Ok(_) => {
                    plan.problems.push(format!("{}: it is neither a file nor a folder", argument.display()));
                }
            }
        }
        plan
    }

    fn walk(&mut self, root: Branch) {
        let top = root.path.clone();
        let mut left = vec![root];
        while let Some(branch) = left.pop() {
            let entries = fs::read_dir(&branch.path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let mut entries = match entries {
                Ok(entries) => entries,
                Err(error) => {
                    self.unreadable(&branch.shown, &error);
                    continue;
                }
            };
            entries.sort_by_key(fs::DirEntry::file_name);
            let mut inner = Vec::new();
            for entry in entries {
                let shown = branch.shown.join(entry.file_name());
                let name = entry.file_name().to_string_lossy().into_owned();
                let kind = match entry.file_type() {
                    Ok(kind) => kind,
                    Err(error) => {
                        self.unreadable(&shown, &error);
                        continue;
                    }
                };
                if kind.is_dir() {
                    let folder = Some(below(branch.folder.as_deref(), &folder_name(&name)));
                    inner.push(Branch { path: entry.path(), shown, folder });
                } else if kind.is_file() {
                    self.add(entry.path(), &shown, name, branch.folder.clone());
                } else if kind.is_symlink() {
                    // The file itself, so that what the link names later makes no difference.
                    match entry.path().canonicalize() {
                        Ok(path) if path.is_file() && path.starts_with(&top) => {
                            self.add(path, &shown, name, branch.folder.clone());
                        }
                        _ => self.skip(&shown, "a symbolic link that leads to no file in the folder"),
                    }
                } else {
                    self.skip(&shown, "neither a file nor a folder");
                }
            }
            left.extend(inner.into_iter().rev());
        }
    }

    /// Adds a file; the same one in the same folder is uploaded once.
    fn add(&mut self, path: PathBuf, shown: &Path, name: String, folder: Option<String>) {
        if self.seen.insert((path.clone(), folder.clone())) {
            self.files.push(PlannedFile { path, shown: shown.display().to_string(), name, folder });
        }
    }

    fn unreadable(&mut self, path: &Path, error: &std::io::Error) {
        self.problems.push(format!("{}: it can't be read: {error}", path.display()));
    }

    fn skip(&mut self, path: &Path, why: &str) {
        self.notes.push(format!("{}: skipped, it is {why}", path.display()));
    }
}

fn below(folder: Option<&str>, name: &str) -> String {
    folder.map_or_else(|| name.to_owned(), |folder| format!("{folder}/{name}"))
}

/// Replaces what folders on the server can't have in their names.
fn folder_name(name: &str) -> String {
    name.replace(|c: char| c.is_control() || c == '\\', "_")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn files(plan: &Plan) -> Vec<(&str, Option<&str>)> {
        plan.files.iter().map(|file| (file.name.as_str(), file.folder.as_deref())).collect()
    }

    #[test]
    fn folders_of_an_argument_become_folders_of_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("photos");
        fs::create_dir_all(root.join("2026/a\\b\n")).unwrap();
        for path in ["b.txt", "2026/a.txt", "2026/a\\b\n/c.txt"] {
            fs::write(root.join(path), path).unwrap();
        }
        let plan = Plan::read(std::slice::from_ref(&root), Some("/base/"));
        let all = [
            ("b.txt", Some("base/photos")),
            ("a.txt", Some("base/photos/2026")),
            ("c.txt", Some("base/photos/2026/a_b_")),
        ];
        assert_eq!(files(&plan), all);
        assert!(plan.problems.is_empty() && plan.notes.is_empty(), "{plan:?}");
        let plan = Plan::read(&[root.join("."), root.join("b.txt"), root.join("2026/../b.txt")], None);
        assert_eq!(plan.files.len(), 4, "{plan:?}");
        assert_eq!(files(&plan)[3], ("b.txt", None), "once, although two arguments name it");
        let plan = Plan::read(&[root.join("2026/..")], Some("x"));
        assert_eq!(files(&plan)[0], ("b.txt", Some("x")), "a path that ends with .. has no name");
    }

    #[test]
    fn a_symbolic_link_is_followed_to_a_file_in_the_folder_and_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir(&root).unwrap();
        fs::write(dir.path().join("secret"), "s").unwrap();
        fs::write(root.join("a"), "a").unwrap();
        symlink("a", root.join("in")).unwrap();
        symlink("../secret", root.join("out")).unwrap();
        symlink(".", root.join("ring")).unwrap();
        symlink("nothing", root.join("broken")).unwrap();
        let plan = Plan::read(std::slice::from_ref(&root), None);
        assert_eq!(files(&plan), [("a", Some("root"))], "the link leads to the same file in the same folder");
        assert_eq!(plan.notes.len(), 3, "{:?}", plan.notes);
        let link = dir.path().join("link");
        symlink(&root, &link).unwrap();
        assert_eq!(files(&Plan::read(&[link], None)), [("a", Some("link"))], "an argument is followed");
    }

    #[test]
    fn what_is_not_there_is_a_problem_and_the_rest_is_planned() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "a").unwrap();
        let plan = Plan::read(&[dir.path().join("b"), dir.path().join("a"), "/dev/null".into()], None);
        assert_eq!(files(&plan), [("a", None)]);
        assert_eq!(plan.problems.len(), 2, "{:?}", plan.problems);
    }
}
