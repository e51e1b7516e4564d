//! Measures the language and the structure of `src/`: names, documentation, line widths,
//! dependencies between modules.
//!
//! `make measure` runs it. The last lines are for machines, one `name=value` each; docs of the
//! goals: CONTRIBUTING.md. Test code (`#[cfg(test)]`, files named `tests.rs` or below a folder
//! `tests`) is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use syn::spanned::Spanned;
use syn::visit::Visit;

/// Columns of a line, as the Rust style guide has it.
const COLUMNS: usize = 100;
/// From this many lines on a function needs a blank or a comment line.
const LONG_FUNCTION: usize = 15;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    list(&root, &mut files)?;

    let mut findings = Findings::default();
    let mut modules = Modules::default();
    for path in &files {
        let text = fs::read_to_string(path)?;
        let file =
            syn::parse_file(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        let name = path.strip_prefix(&root)?.display().to_string();

        findings.lines(&text);
        let mut reader = Reader {
            findings: &mut findings,
            file: &name,
            lines: text.lines().collect(),
        };
        reader.visit_file(&file);
        modules.read(&name, &file);
    }

    if std::env::args().any(|argument| argument == "--list") {
        for line in &findings.listed {
            println!("{line}");
        }
    }
    findings.print();
    modules.print();
    Ok(())
}

/// All Rust files below a folder, but those of tests.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_, std::io::Error>>()?;
    entries.sort();
    for path in entries {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && name != "tests" {
            list(&path, files)?;
        } else if name.ends_with(".rs") && name != "tests.rs" {
            files.push(path);
        }
    }
    Ok(())
}

/// How many of how many.
#[derive(Default)]
struct Share {
    part: usize,
    whole: usize,
}

impl Share {
    fn add(&mut self, is_part: bool) {
        self.part += usize::from(is_part);
        self.whole += 1;
    }

    fn percent(&self) -> f64 {
        match self.whole {
            0 => 0.0,
            whole => 100.0 * self.part as f64 / whole as f64,
        }
    }
}

#[derive(Default)]
struct Findings {
    one_word_functions: Share,
    one_word_types: Share,
    /// The files that define a type of each name.
    types: BTreeMap<String, BTreeSet<String>>,
    dense_functions: Share,
    undocumented_items: Share,
    undocumented_fields: Share,
    documented_errors: Share,
    wide_lines: Share,
    comment_lines: Share,
    /// One line for each place that counts against a goal.
    listed: Vec<String>,
}

impl Findings {
    fn lines(&mut self, text: &str) {
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            self.wide_lines.add(line.chars().count() > COLUMNS);
            self.comment_lines.add(line.trim_start().starts_with("//"));
        }
    }

    fn print(&self) {
        let mut repeated = Share::default();
        for files in self.types.values() {
            repeated.add(files.len() > 1);
        }

        let lines = [
            ("one_word_functions_percent", &self.one_word_functions),
            ("one_word_types_percent", &self.one_word_types),
            ("type_names_twice_percent", &repeated),
            ("dense_functions_percent", &self.dense_functions),
            ("undocumented_items_percent", &self.undocumented_items),
            ("undocumented_fields_percent", &self.undocumented_fields),
            ("errors_documented_percent", &self.documented_errors),
            ("wide_lines_percent", &self.wide_lines),
            ("comment_lines_percent", &self.comment_lines),
        ];
        for (name, share) in lines {
            println!("{name}={:.1}", share.percent());
        }
    }
}

/// Reads the items of one file.
struct Reader<'a> {
    findings: &'a mut Findings,
    file: &'a str,
    lines: Vec<&'a str>,
}

impl Reader<'_> {
    fn note(&mut self, what: &str, name: &str, line: usize) {
        self.findings
            .listed
            .push(format!("{}:{line}: {what}: {name}", self.file));
    }

    /// A function with its signature, wherever it stands. A trait's implementation takes its names
    /// from the trait.
    fn function(
        &mut self,
        signature: &syn::Signature,
        whole: proc_macro2::Span,
        is_named_here: bool,
    ) {
        let name = signature.ident.to_string();
        let (first, last) = (whole.start().line, whole.end().line);
        if is_named_here {
            let is_one_word = !name.trim_matches('_').contains('_');
            self.findings.one_word_functions.add(is_one_word);
            if is_one_word {
                self.note("one-word function", &name, first);
            }
        }

        let lines = self.lines.get(first - 1..last).unwrap_or_default();
        if lines.len() >= LONG_FUNCTION {
            let is_paragraph_break =
                |line: &&str| line.trim().is_empty() || line.trim_start().starts_with("//");
            let is_dense = !lines.iter().any(is_paragraph_break);
            self.findings.dense_functions.add(is_dense);
            if is_dense {
                self.note("function without a paragraph", &name, first);
            }
        }
    }

    fn named_type(&mut self, ident: &syn::Ident) {
        let name = ident.to_string();
        let capitals = name
            .chars()
            .filter(|letter| letter.is_ascii_uppercase())
            .count();
        self.findings.one_word_types.add(capitals <= 1);
        if capitals <= 1 {
            self.note("one-word type", &name, ident.span().start().line);
        }
        self.findings
            .types
            .entry(name)
            .or_default()
            .insert(self.file.to_owned());
    }

    fn public(
        &mut self,
        visibility: &syn::Visibility,
        attributes: &[syn::Attribute],
        ident: &syn::Ident,
    ) {
        if is_public(visibility) {
            let is_bare = doc(attributes).is_empty();
            self.findings.undocumented_items.add(is_bare);
            if is_bare {
                self.note(
                    "undocumented item",
                    &ident.to_string(),
                    ident.span().start().line,
                );
            }
        }
    }

    fn errors(
        &mut self,
        visibility: &syn::Visibility,
        attributes: &[syn::Attribute],
        signature: &syn::Signature,
    ) {
        if !is_public(visibility) || !returns_result(signature) {
            return;
        }

        let says_when = doc(attributes).contains("# Errors");
        self.findings.documented_errors.add(says_when);
        if !says_when {
            self.note(
                "errors not documented",
                &signature.ident.to_string(),
                signature.ident.span().start().line,
            );
        }
    }

    fn fields(&mut self, fields: &syn::Fields) {
        for field in fields {
            let Some(ident) = field.ident.as_ref().filter(|_| is_public(&field.vis)) else {
                continue;
            };
            let is_bare = doc(&field.attrs).is_empty();
            self.findings.undocumented_fields.add(is_bare);
            if is_bare {
                self.note(
                    "undocumented field",
                    &ident.to_string(),
                    ident.span().start().line,
                );
            }
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if is_test(attributes(item)) {
            return;
        }

        match item {
            syn::Item::Fn(item) => {
                self.public(&item.vis, &item.attrs, &item.sig.ident);
                self.errors(&item.vis, &item.attrs, &item.sig);
                self.function(&item.sig, item.span(), true);
            }
            syn::Item::Struct(item) => {
                self.public(&item.vis, &item.attrs, &item.ident);
                self.named_type(&item.ident);
                self.fields(&item.fields);
            }
            syn::Item::Enum(item) => {
                self.public(&item.vis, &item.attrs, &item.ident);
                self.named_type(&item.ident);
            }
            syn::Item::Trait(item) => {
                self.public(&item.vis, &item.attrs, &item.ident);
                self.named_type(&item.ident);
            }
            syn::Item::Type(item) => {
                self.public(&item.vis, &item.attrs, &item.ident);
                self.named_type(&item.ident);
            }
            syn::Item::Const(item) => self.public(&item.vis, &item.attrs, &item.ident),
            syn::Item::Static(item) => self.public(&item.vis, &item.attrs, &item.ident),
            _ => {}
        }
        syn::visit::visit_item(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        for member in &item.items {
            let syn::ImplItem::Fn(member) = member else {
                continue;
            };
            if is_test(&member.attrs) {
                continue;
            }
            if item.trait_.is_none() {
                self.public(&member.vis, &member.attrs, &member.sig.ident);
                self.errors(&member.vis, &member.attrs, &member.sig);
            }
            self.function(&member.sig, member.span(), item.trait_.is_none());
        }
        syn::visit::visit_item_impl(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.function(&item.sig, item.span(), true);
        syn::visit::visit_trait_item_fn(self, item);
    }
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg")
                && attribute
                    .parse_args::<syn::Path>()
                    .is_ok_and(|path| path.is_ident("test")))
    })
}

/// Visible outside its module: `pub`, `pub(crate)`, `pub(in ...)`.
fn is_public(visibility: &syn::Visibility) -> bool {
    match visibility {
        syn::Visibility::Public(_) => true,
        syn::Visibility::Restricted(restricted) => {
            !restricted.path.is_ident("self") && !restricted.path.is_ident("super")
        }
        syn::Visibility::Inherited => false,
    }
}

fn doc(attributes: &[syn::Attribute]) -> String {
    let mut text = String::new();
    for attribute in attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("doc"))
    {
        if let syn::Meta::NameValue(pair) = &attribute.meta
            && let syn::Expr::Lit(literal) = &pair.value
            && let syn::Lit::Str(line) = &literal.lit
        {
            text.push_str(line.value().trim());
            text.push('\n');
        }
    }
    text
}

fn returns_result(signature: &syn::Signature) -> bool {
    let syn::ReturnType::Type(_, returned) = &signature.output else {
        return false;
    };
    let syn::Type::Path(path) = returned.as_ref() else {
        return false;
    };
    path.path
        .segments
        .last()
        .is_some_and(|segment| segment.ident == "Result")
}

/// A module's path below the crate, outermost first.
type ModulePath = Vec<String>;

/// Which modules use which. An arrow joins two children of one module: the places where the paths
/// of user and used part.
#[derive(Default)]
struct Modules {
    /// The top-level modules in the order of lib.rs.
    order: Vec<String>,
    files: Vec<(ModulePath, Vec<ModulePath>)>,
}

impl Modules {
    fn read(&mut self, name: &str, file: &syn::File) {
        if name == "main.rs" {
            return;
        }
        if name == "lib.rs" {
            let declared = file.items.iter().filter_map(|item| match item {
                syn::Item::Mod(item) if !is_test(&item.attrs) => Some(item.ident.to_string()),
                _ => None,
            });
            self.order = declared.collect();
            return;
        }

        let whole = name.trim_end_matches(".rs").trim_end_matches("/mod");
        let module: ModulePath = whole.split('/').map(str::to_owned).collect();
        let mut paths = Paths {
            module: &module,
            used: Vec::new(),
        };
        paths.visit_file(file);
        let used = paths.used;
        self.files.push((module, used));
    }

    /// The arrows below each module that has children: parent, then user and used.
    fn arrows(&self) -> BTreeMap<ModulePath, BTreeMap<String, BTreeSet<String>>> {
        let known: BTreeSet<&ModulePath> = self.files.iter().map(|(module, _)| module).collect();
        let mut arrows: BTreeMap<ModulePath, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        for (module, used) in &self.files {
            for path in used {
                let common = module
                    .iter()
                    .zip(path)
                    .take_while(|(one, other)| one == other)
                    .count();
                let (Some(user), Some(child)) = (module.get(common), path.get(common)) else {
                    continue;
                };
                if known.contains(&path[..=common].to_vec()) {
                    let parent = arrows.entry(module[..common].to_vec()).or_default();
                    parent
                        .entry(user.clone())
                        .or_default()
                        .insert(child.clone());
                }
            }
        }
        arrows
    }

    fn print(&self) {
        let (mut circles, mut back) = (0, 0);
        for (parent, uses) in self.arrows() {
            for circle in strongly_connected(&uses) {
                circles += 1;
                for module in &circle {
                    let used = uses[module]
                        .intersection(&circle)
                        .filter(|used| *used != module);
                    let used: Vec<&str> = used.map(String::as_str).collect();
                    println!("  {module} -> {}", used.join(", "));
                }
                println!(
                    "circle in {}: {}",
                    display(&parent),
                    circle.into_iter().collect::<Vec<_>>().join(", ")
                );
            }
            if parent.is_empty() {
                for (module, used) in self.arrows_back(&uses) {
                    back += 1;
                    println!("arrow back: {module} -> {used}");
                }
            }
        }
        println!("circles={circles}");
        println!("arrows_back={back}");
    }

    /// Uses of a module that lib.rs declares later.
    fn arrows_back<'a>(
        &self,
        uses: &'a BTreeMap<String, BTreeSet<String>>,
    ) -> Vec<(&'a String, &'a String)> {
        let place = |name: &String| self.order.iter().position(|module| module == name);
        let pairs = uses
            .iter()
            .flat_map(|(module, used)| used.iter().map(move |used| (module, used)));
        pairs
            .filter(|(module, used)| place(used) > place(module))
            .collect()
    }
}

fn display(parent: &ModulePath) -> String {
    match parent.is_empty() {
        true => "the crate".to_owned(),
        false => parent.join("::"),
    }
}

/// The sets of modules that reach each other.
fn strongly_connected(uses: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<BTreeSet<String>> {
    let reached: BTreeMap<&String, BTreeSet<String>> = uses
        .keys()
        .map(|module| (module, reached_from(module, uses)))
        .collect();
    let circle = |module: &String| {
        let mutual = |other: &&String| {
            reached
                .get(*other)
                .is_some_and(|back| back.contains(module))
        };
        reached[module]
            .iter()
            .filter(mutual)
            .cloned()
            .collect::<BTreeSet<String>>()
    };
    uses.keys()
        .map(circle)
        .filter(|circle| circle.len() > 1)
        .collect()
}

fn reached_from(from: &String, uses: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(module) = next.pop() {
        for used in uses.get(module).into_iter().flatten() {
            if reached.insert(used.clone()) {
                next.push(used);
            }
        }
    }
    reached
}

/// The paths of a file that begin at the crate or at a parent, whole from the crate on; tests are
/// left out.
struct Paths<'a> {
    module: &'a [String],
    used: Vec<ModulePath>,
}

impl Paths<'_> {
    fn tree(&mut self, tree: &syn::UseTree, before: &[String]) {
        let joined = |ident: &syn::Ident| [before, &[ident.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.tree(&path.tree, &joined(&path.ident)),
            syn::UseTree::Name(name) => self.path(&joined(&name.ident)),
            syn::UseTree::Rename(name) => self.path(&joined(&name.ident)),
            syn::UseTree::Glob(_) => self.path(before),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.tree(tree, before))
            }
        }
    }

    fn path(&mut self, path: &[String]) {
        let mut whole = self.module.to_vec();
        let mut rest = path;
        match rest.first().map(String::as_str) {
            Some("crate") => {
                whole.clear();
                rest = &rest[1..];
            }
            Some("super") => {
                while let Some("super") = rest.first().map(String::as_str) {
                    whole.pop();
                    rest = &rest[1..];
                }
            }
            Some("self") => rest = &rest[1..],
            _ => return,
        }
        whole.extend_from_slice(rest);
        self.used.push(whole);
    }
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(attributes(item)) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        self.path(&segments);
        syn::visit::visit_path(self, path);
    }
}
