//! Makes constants run-time values, so that the mutants in what computes them can be switched.
//!
//! A `const fn` loses its `const`, and a table that it fills becomes a `LazyLock`. Whether they
//! can, the compiler says; what a type or a pattern depends on stays as it is.
//!
//! Invariant: a value is what the constant was; only the time when it is computed is another.

use super::lines::Lines;
use std::collections::BTreeSet;
use std::ops::Range;
use syn::visit::{self, Visit};
use syn::{Expr, Ident, Signature, StaticMutability, Type};

/// What of a file is computed at run time. All are known by where their keyword begins.
#[derive(Clone, Debug, Default)]
pub(super) struct Thaw {
    pub(super) functions: BTreeSet<usize>,
    pub(super) items: BTreeSet<usize>,
}

/// A `const fn`.
pub(super) struct Function {
    pub(super) name: String,
    /// Its `const`.
    pub(super) keyword: Range<usize>,
    body: Range<usize>,
}

/// A constant or static that could be computed at its first use.
pub(super) struct Item {
    pub(super) name: String,
    /// Its `const` or `static`.
    pub(super) keyword: Range<usize>,
    pub(super) of: Range<usize>,
    pub(super) value: Range<usize>,
}

/// All of a file that could thaw.
#[derive(Default)]
pub(super) struct Constants {
    pub(super) functions: Vec<Function>,
    pub(super) items: Vec<Item>,
}

impl Constants {
    /// Finds them; an error says why the text is no Rust.
    pub(super) fn of(text: &str) -> Result<Constants, String> {
        let file = syn::parse_file(text).map_err(|error| error.to_string())?;
        let mut search = Search {
            lines: Lines::of(text),
            found: Constants::default(),
        };
        search.visit_file(&file);
        Ok(search.found)
    }

    /// What is computed where some of these bytes are.
    pub(super) fn around(&self, bytes: &[usize]) -> Thaw {
        let has = |range: &Range<usize>| bytes.iter().any(|byte| range.contains(byte));
        let functions = self.functions.iter().filter(|f| has(&f.body));
        let items = self.items.iter().filter(|item| has(&item.value));
        Thaw {
            functions: functions.map(|function| function.keyword.start).collect(),
            items: items.map(|item| item.keyword.start).collect(),
        }
    }
}

struct Search<'a> {
    lines: Lines<'a>,
    found: Constants,
}

impl Search<'_> {
    fn function(&mut self, signature: &Signature, block: &syn::Block) {
        if let Some(keyword) = &signature.constness {
            self.found.functions.push(Function {
                name: signature.ident.to_string(),
                keyword: self.lines.range(keyword),
                body: self.lines.range(block),
            });
        }
    }

    fn item(&mut self, name: &Ident, keyword: Range<usize>, of: &Type, value: &Expr) {
        // A number may be a length, or stand in a pattern, and is never much work.
        let is_number = matches!(of, Type::Path(path)
            if path.path.get_ident().is_some_and(|name| NUMBERS.iter().any(|n| name == n)));
        if !is_number && name != "_" {
            self.found.items.push(Item {
                name: name.to_string(),
                keyword,
                of: self.lines.range(of),
                value: self.lines.range(value),
            });
        }
    }
}

impl<'ast> Visit<'ast> for Search<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        let keyword = self.lines.range(&item.const_token);
        self.item(&item.ident, keyword, &item.ty, &item.expr);
        visit::visit_item_const(self, item);
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        if matches!(item.mutability, StaticMutability::None) {
            let keyword = self.lines.range(&item.static_token);
            self.item(&item.ident, keyword, &item.ty, &item.expr);
        }
        visit::visit_item_static(self, item);
    }
}

const NUMBERS: [&str; 14] = [
    "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "bool",
    "char",
];
