//! Finds for each mutant the place in the source where it can be switched on and off.
//!
//! Invariant: a place is never in a constant context, where nothing can be asked at run time, nor
//! in a macro's arguments, which are only tokens.

use super::lines::Lines;
use super::list::Genre;
use super::thaw::Thaw;
use std::collections::BTreeMap;
use std::ops::Range;
use syn::visit::{self, Visit};
use syn::{
    Arm, BinOp, Block, Expr, ExprBinary, ExprMatch, ExprStruct, ExprUnary, ReturnType, Signature,
};

/// What is switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The value of a constant, in which mutants may be; by where its keyword begins.
    Constant(usize, Thawing),
    /// Something around which or in the place of which there is something else, to thaw it.
    Thawed(Thawing),
    /// The statements of a function; a mutant returns before them.
    Body,
    /// What is matched, where the compiler misses the arms that mutants do not take.
    Scrutinee,
    /// An arm of a match; a mutant never takes it.
    Arm {
        /// Whether the range is its guard; otherwise it is the empty one after the pattern.
        has_guard: bool,
        /// Whether that guard has a `let`, which no parentheses may enclose.
        has_let: bool,
        /// Where the scrutinee begins and ends.
        scrutinee: (usize, usize),
    },
    /// An expression; a mutant has another in its place.
    Value,
}

/// How a part of something that thaws is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Thawing {
    /// As it was.
    Frozen,
    /// Between these.
    Between(&'static str, &'static str),
    /// As this.
    As(&'static str),
}

/// Where something is switched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) kind: Kind,
    /// In bytes.
    pub(super) range: Range<usize>,
}

/// All places of a file where a mutant can be switched.
pub(super) struct Places {
    found: BTreeMap<(Genre, usize), Place>,
}

impl Places {
    /// Reads a file; an error says why it is no Rust.
    pub(super) fn of(text: &str, thaw: &Thaw) -> Result<Places, String> {
        let file = syn::parse_file(text).map_err(|error| error.to_string())?;
        let mut finder = Finder {
            lines: Lines::of(text),
            thaw,
            found: BTreeMap::new(),
            constants: 0,
            chain: None,
        };
        finder.visit_file(&file);
        Ok(Places {
            found: finder.found,
        })
    }

    /// The place of a mutant that replaces what begins at `start`.
    pub(super) fn get(&self, genre: Genre, start: usize) -> Option<&Place> {
        self.found.get(&(genre, start))
    }
}

struct Finder<'a> {
    lines: Lines<'a>,
    thaw: &'a Thaw,
    found: BTreeMap<(Genre, usize), Place>,
    /// How many constant contexts are open.
    constants: usize,
    /// The outermost of a row of operators without parentheses, while its operands are visited.
    chain: Option<Range<usize>>,
}

impl Finder<'_> {
    fn add(&mut self, genre: Genre, start: usize, kind: Kind, range: Range<usize>) {
        if self.constants == 0 {
            let place = Place { kind, range };
            self.found.insert((genre, start), place);
        }
    }

    fn in_constant(&mut self, visit: impl FnOnce(&mut Self)) {
        self.constants += 1;
        visit(self);
        self.constants -= 1;
    }

    fn item(&mut self, start: usize, visit: impl FnOnce(&mut Self)) {
        let outside = self.constants;
        self.constants = usize::from(!self.thaw.items.contains(&start));
        visit(self);
        self.constants = outside;
    }

    fn function(&mut self, signature: &Signature, block: &Block, visit: impl FnOnce(&mut Self)) {
        let outside = self.constants;
        self.constants = 0;
        if let Some(keyword) = &signature.constness {
            let start = self.lines.range(keyword).start;
            self.constants = usize::from(!self.thaw.functions.contains(&start));
        }
        // A function that hides its type has one, which another value to return need not have.
        let ends = (block.stmts.first(), block.stmts.last());
        if let ((Some(first), Some(last)), false) = (ends, hides_type(&signature.output)) {
            let range = self.lines.range(first).start..self.lines.range(last).end;
            self.add(Genre::FnValue, range.start, Kind::Body, range);
        }
        visit(self);
        self.constants = outside;
    }

    fn arm(&mut self, arm: &Arm, scrutinee: &Range<usize>) {
        let start = self.lines.range(arm).start;
        let end = self.lines.range(&arm.pat).end;
        let guard = arm.guard.as_ref().map(|(_, guard)| guard);
        let range = guard.map_or(end..end, |guard| self.lines.range(&**guard));
        let has_let = guard.is_some_and(|guard| has_let(guard));
        let kind = Kind::Arm {
            has_guard: guard.is_some(),
            has_let,
            scrutinee: (scrutinee.start, scrutinee.end),
        };
        self.add(Genre::MatchArm, start, kind, range.clone());
        if guard.is_some() && !has_let {
            self.add(Genre::MatchArmGuard, range.start, Kind::Value, range);
        }
    }

    fn operand(&mut self, operand: &Expr, chain: Option<&Range<usize>>) {
        if let Expr::Binary(binary) = operand {
            self.chain = chain.cloned();
            self.visit_expr_binary(binary);
        } else {
            self.visit_expr(operand);
        }
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block, |finder| {
            visit::visit_item_fn(finder, item);
        });
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block, |finder| {
            visit::visit_impl_item_fn(finder, item);
        });
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block, |finder| {
                visit::visit_trait_item_fn(finder, item);
            });
        }
    }

    /// Another operator may bind less tightly than its neighbours, so the whole row is written
    /// again: `a && b && c` with its first operator changed is `a || (b && c)`.
    fn visit_expr_binary(&mut self, binary: &'ast ExprBinary) {
        let chain = self.chain.take();
        if has_let(&binary.left) || has_let(&binary.right) {
            self.operand(&binary.left, None);
            self.operand(&binary.right, None);
            return;
        }
        let chain = chain.unwrap_or_else(|| self.lines.range(binary));
        let start = self.lines.range(&binary.op).start;
        self.add(Genre::BinaryOperator, start, Kind::Value, chain.clone());
        self.operand(&binary.left, Some(&chain));
        self.operand(&binary.right, Some(&chain));
    }

    fn visit_expr_unary(&mut self, unary: &'ast ExprUnary) {
        let range = self.lines.range(unary);
        self.add(Genre::UnaryOperator, range.start, Kind::Value, range);
        visit::visit_expr_unary(self, unary);
    }

    fn visit_expr_struct(&mut self, expression: &'ast ExprStruct) {
        let range = self.lines.range(expression);
        for field in &expression.fields {
            let start = self.lines.range(field).start;
            self.add(Genre::StructField, start, Kind::Value, range.clone());
        }
        visit::visit_expr_struct(self, expression);
    }

    fn visit_expr_match(&mut self, expression: &'ast ExprMatch) {
        let scrutinee = self.lines.range(&*expression.expr);
        for arm in &expression.arms {
            self.arm(arm, &scrutinee);
        }
        visit::visit_expr_match(self, expression);
    }

    fn visit_expr_repeat(&mut self, repeat: &'ast syn::ExprRepeat) {
        self.visit_expr(&repeat.expr);
        self.in_constant(|finder| finder.visit_expr(&repeat.len));
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        let start = self.lines.range(&item.const_token).start;
        self.item(start, |finder| visit::visit_item_const(finder, item));
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        let start = self.lines.range(&item.static_token).start;
        self.item(start, |finder| visit::visit_item_static(finder, item));
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.in_constant(|finder| visit::visit_impl_item_const(finder, item));
    }

    fn visit_trait_item_const(&mut self, item: &'ast syn::TraitItemConst) {
        self.in_constant(|finder| visit::visit_trait_item_const(finder, item));
    }

    fn visit_expr_const(&mut self, block: &'ast syn::ExprConst) {
        self.in_constant(|finder| visit::visit_expr_const(finder, block));
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        self.in_constant(|finder| visit::visit_variant(finder, variant));
    }

    fn visit_type(&mut self, of: &'ast syn::Type) {
        self.in_constant(|finder| visit::visit_type(finder, of));
    }

    fn visit_generic_argument(&mut self, argument: &'ast syn::GenericArgument) {
        self.in_constant(|finder| visit::visit_generic_argument(finder, argument));
    }

    fn visit_pat(&mut self, pattern: &'ast syn::Pat) {
        self.in_constant(|finder| visit::visit_pat(finder, pattern));
    }
}

/// Whether a function returns `impl Trait`, or something with it.
fn hides_type(output: &ReturnType) -> bool {
    struct Search(bool);
    impl Visit<'_> for Search {
        fn visit_type_impl_trait(&mut self, _: &syn::TypeImplTrait) {
            self.0 = true;
        }
    }
    let mut search = Search(false);
    search.visit_return_type(output);
    search.0
}

/// Whether an expression is a condition that binds names, or a chain with one.
fn has_let(expression: &Expr) -> bool {
    match expression {
        Expr::Let(_) => true,
        Expr::Binary(binary) if matches!(binary.op, BinOp::And(_)) => {
            has_let(&binary.left) || has_let(&binary.right)
        }
        _ => false,
    }
}
