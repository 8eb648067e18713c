//! Declarations of one source file and the paths that it names, without test code.

use std::collections::HashMap;

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree};

/// A path as the compiler would understand it; a last part `*` is a glob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// From the root of this crate.
    Inside(Vec<String>),
    Outside(Vec<String>),
}

#[derive(Debug, Default)]
pub struct Source {
    /// Module path of the file itself: `db/files.rs` is `[db, files]`.
    pub module: Vec<String>,
    /// Names of the modules declared in it, with their lines.
    pub declared: Vec<(String, usize)>,
    /// Modules in files of their own that exist under `#[cfg(test)]` only.
    pub test_modules: Vec<Vec<String>>,
    pub paths: Vec<(Target, usize)>,
    /// Names that its `use` lines give: the path of each name, and what it stands for.
    pub named: Vec<(Vec<String>, Target)>,
}

impl Source {
    /// A file of this crate, which calls itself `filesys` too.
    pub fn of(file: &str, text: &str) -> Self {
        Self::read(file, text, &["crate", "filesys"])
    }

    /// A file of another program, such as a test, to which this crate is one from outside.
    pub fn of_program(file: &str, text: &str) -> Self {
        Self::read(file, text, &["crate"])
    }

    fn read(file: &str, text: &str, own: &'static [&'static str]) -> Self {
        let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("src/{file}: {error}"));
        let mut module: Vec<String> = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        let mut reader = Reader { module, own, ..Reader::default() };
        if !is_for_tests(&parsed.attrs) {
            reader.visit_file(&parsed);
        }
        let (paths, named) = reader.resolved();
        let Reader { module, declared, test_modules, .. } = reader;
        Self { module, declared, test_modules, paths, named }
    }

    /// Other top-level modules that it names, with the line.
    pub fn inside(&self) -> impl Iterator<Item = (&str, usize)> {
        self.paths.iter().filter_map(|(target, line)| match target {
            Target::Inside(path) if path.first() != self.module.first() => {
                Some((path.first()?.as_str(), *line))
            }
            Target::Inside(_) | Target::Outside(_) => None,
        })
    }
}

/// A path as it is written.
#[derive(Debug)]
struct Written {
    parts: Vec<String>,
    /// Starts with `::`, so it names a crate.
    is_global: bool,
    /// Position in the source.
    module: Vec<String>,
    /// The name that a `use` gives it.
    alias: Option<String>,
    line: usize,
}

impl Written {
    /// `own`: names of the crate itself.
    fn resolve(&self, own: &[&str], declared: &[(String, usize)], aliases: &HashMap<&str, Target>) -> Target {
        let (first, rest) = self.parts.split_first().expect("a path has parts");
        let below = |base: &[String], rest: &[String]| [base, rest].concat();
        if self.is_global {
            return Target::Outside(self.parts.clone());
        }
        match first.as_str() {
            name if own.contains(&name) => Target::Inside(rest.to_vec()),
            "self" | "super" => {
                let ups = self.parts.iter().take_while(|part| *part == "super").count();
                let base = &self.module[..self.module.len().saturating_sub(ups)];
                Target::Inside(below(base, &self.parts[ups.max(1)..]))
            }
            name if declared.iter().any(|(module, _)| module == name) => {
                Target::Inside(below(&self.module, &self.parts))
            }
            name => match aliases.get(name) {
                Some(Target::Inside(base)) => Target::Inside(below(base, rest)),
                Some(Target::Outside(base)) => Target::Outside(below(base, rest)),
                None => Target::Outside(self.parts.clone()),
            },
        }
    }
}

#[derive(Default)]
struct Reader {
    module: Vec<String>,
    own: &'static [&'static str],
    declared: Vec<(String, usize)>,
    test_modules: Vec<Vec<String>>,
    written: Vec<Written>,
}

impl Reader {
    fn write(&mut self, parts: Vec<String>, is_global: bool, alias: Option<String>, at: Span) {
        let module = self.module.clone();
        let line = at.start().line;
        self.written.push(Written { parts, is_global, module, alias, line });
    }

    /// Every path with its line, and the names that `use` lines give.
    #[expect(clippy::type_complexity, reason = "taken apart at once")]
    fn resolved(&self) -> (Vec<(Target, usize)>, Vec<(Vec<String>, Target)>) {
        let resolve = |path: &Written, aliases| path.resolve(self.own, &self.declared, aliases);
        let none = HashMap::new();
        let with_alias = || self.written.iter().filter_map(|path| Some((path, path.alias.as_deref()?)));
        let aliases: HashMap<&str, Target> =
            with_alias().map(|(path, alias)| (alias, resolve(path, &none))).collect();
        let name = |path: &Written, alias: &str| [path.module.as_slice(), &[alias.to_owned()]].concat();
        let named = with_alias().map(|(path, alias)| (name(path, alias), resolve(path, &none)));
        (self.written.iter().map(|path| (resolve(path, &aliases), path.line)).collect(), named.collect())
    }

    fn read_use(&mut self, tree: &UseTree, prefix: &[String], is_global: bool) {
        let with = |name: &Ident| [prefix, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.read_use(&path.tree, &with(&path.ident), is_global),
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.read_use(tree, prefix, is_global));
            }
            UseTree::Glob(glob) => {
                let parts = [prefix, &["*".to_owned()]].concat();
                self.write(parts, is_global, None, glob.star_token.spans[0]);
            }
            UseTree::Name(name) if name.ident == "self" && !prefix.is_empty() => {
                self.write(prefix.to_vec(), is_global, prefix.last().cloned(), name.ident.span());
            }
            UseTree::Name(name) => {
                self.write(with(&name.ident), is_global, Some(name.ident.to_string()), name.ident.span());
            }
            UseTree::Rename(name) => {
                let parts = if name.ident == "self" { prefix.to_vec() } else { with(&name.ident) };
                self.write(parts, is_global, Some(name.rename.to_string()), name.ident.span());
            }
        }
    }

    /// Paths in the arguments of macros and attributes, which have no syntax tree.
    fn read_tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is_colon =
            |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token {
                TokenTree::Group(group) => self.read_tokens(group.stream()),
                TokenTree::Ident(first) => {
                    let mut parts = vec![first.to_string()];
                    while let (true, true, Some(TokenTree::Ident(next))) =
                        (is_colon(at), is_colon(at + 1), tokens.get(at + 2))
                    {
                        parts.push(next.to_string());
                        at += 3;
                    }
                    if parts.len() > 1 {
                        self.write(parts, false, None, first.span());
                    }
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        } else if let Item::Mod(module) = item
            && module.content.is_none()
        {
            self.test_modules.push([self.module.as_slice(), &[module.ident.to_string()]].concat());
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_for_tests(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let name = module.ident.to_string();
        self.declared.push((name.clone(), module.ident.span().start().line));
        self.module.push(name);
        visit::visit_item_mod(self, module);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.visit_visibility(&item.vis);
        self.read_use(&item.tree, &[], item.leading_colon.is_some());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        // A single name is something local: a crate is named by `use` or with what is taken from it.
        if path.segments.len() > 1 {
            let parts = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.write(parts, path.leading_colon.is_some(), None, path.segments[0].ident.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.read_tokens(call.tokens.clone());
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.visit_path(&list.path);
        self.read_tokens(list.tokens.clone());
    }
}

/// `#[cfg(test)]`, or that and more.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let arguments = attribute.meta.require_list().map(|list| list.tokens.to_string());
        let condition = arguments.unwrap_or_default().replace(' ', "");
        attribute.path().is_ident("cfg") && (condition == "test" || condition.starts_with("all(test,"))
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    let (Item::Const(syn::ItemConst { attrs, .. })
    | Item::Enum(syn::ItemEnum { attrs, .. })
    | Item::Fn(syn::ItemFn { attrs, .. })
    | Item::Impl(syn::ItemImpl { attrs, .. })
    | Item::Macro(syn::ItemMacro { attrs, .. })
    | Item::Mod(syn::ItemMod { attrs, .. })
    | Item::Static(syn::ItemStatic { attrs, .. })
    | Item::Struct(syn::ItemStruct { attrs, .. })
    | Item::Trait(syn::ItemTrait { attrs, .. })
    | Item::Type(syn::ItemType { attrs, .. })
    | Item::Use(syn::ItemUse { attrs, .. })) = item
    else {
        return &[];
    };
    attrs
}
