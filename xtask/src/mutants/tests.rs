//! What is written for small sources, and that it does what the mutants say.

use super::list::{Genre, Mutant, Position, Span};
use super::rewrite::rewrite;
use super::thaw::{Constants, Thaw};
use super::writer::Rewritten;

/// The mutant that puts `replacement` in the place of the first `old` in the source.
fn mutant(source: &str, genre: Genre, old: &str, replacement: &str) -> Mutant {
    let start = source.find(old).expect("it is in the source");
    let position = |at: usize| {
        let line_start = source[..at].rfind('\n').map_or(0, |newline| newline + 1);
        Position {
            line: source[..at].matches('\n').count() + 1,
            column: source[line_start..at].chars().count() + 1,
        }
    };
    Mutant {
        name: format!("a.rs: replace {old} with {replacement}"),
        file: "a.rs".to_owned(),
        genre,
        span: Span {
            start: position(start),
            end: position(start + old.len()),
        },
        replacement: replacement.to_owned(),
    }
}

fn rewritten(source: &str, mutants: &[Mutant]) -> Rewritten {
    rewritten_with(source, mutants, &Thaw::default())
}

fn rewritten_with(source: &str, mutants: &[Mutant], thaw: &Thaw) -> Rewritten {
    let numbered: Vec<(usize, &Mutant)> = (1..).zip(mutants).collect();
    let constants = Constants::of(source).expect("it is Rust");
    rewrite(source, &numbered, &constants, thaw).expect("it is Rust")
}

/// What is written, with `?` for the number that is asked for.
fn text(source: &str, mutants: &[Mutant]) -> String {
    readable(&rewritten(source, mutants))
}

fn readable(rewritten: &Rewritten) -> String {
    syn::parse_file(&rewritten.text).expect("it is still Rust");
    rewritten
        .text
        .replace("crate::mutant_switch::active()", "?")
}

fn is_switched(source: &str, mutant: Mutant) -> bool {
    let rewritten = rewritten(source, &[mutant]);
    !rewritten.mutants().is_empty()
}

#[test]
fn a_body_returns_before_its_first_statement() {
    let source = "fn f() -> u8 { g(); 7 }";
    let mutants = [
        mutant(source, Genre::FnValue, "g(); 7", "0"),
        mutant(source, Genre::FnValue, "g(); 7", "1"),
    ];
    assert_eq!(
        text(source, &mutants),
        "fn f() -> u8 { match ? { 1 => return 0, 2 => return 1, _ => {} } g(); 7 }"
    );
}

#[test]
fn changes_of_one_operator_share_a_switch() {
    let source = "fn f() { g(a > b) }";
    let mutants = [
        mutant(source, Genre::BinaryOperator, ">", "=="),
        mutant(source, Genre::BinaryOperator, ">", "<"),
    ];
    assert_eq!(
        text(source, &mutants),
        "fn f() { g((match ? { 1 => (a == b), 2 => (a < b), _ => (a > b) })) }"
    );
}

#[test]
fn an_operator_that_binds_less_tightly_takes_its_row_along() {
    let source = "fn f() { if a && b && c {} }";
    let first = mutant(source, Genre::BinaryOperator, "&&", "||");
    assert_eq!(
        text(source, &[first]),
        "fn f() { if (match ? { 1 => (a || b && c), _ => (a && b && c) }) {} }"
    );
}

#[test]
fn switches_are_nested_and_each_has_the_rest_as_it_was() {
    let source = "fn f() { x(!a, g(b + c)) == d; }";
    let mutants = [
        mutant(source, Genre::BinaryOperator, "==", "!="),
        mutant(source, Genre::UnaryOperator, "!", ""),
        mutant(source, Genre::BinaryOperator, "+", "-"),
    ];
    assert_eq!(
        text(source, &mutants),
        "fn f() { (match ? { 1 => (x(!a, g(b + c)) != d), _ => (x((match ? { 2 => (a), \
         _ => (!a) }), g((match ? { 3 => (b - c), _ => (b + c) }))) == d) }); }"
    );
}

#[test]
fn an_assignment_is_an_operator_too() {
    let source = "fn f() { n += 1; }";
    let change = mutant(source, Genre::BinaryOperator, "+=", "-=");
    assert_eq!(
        text(source, &[change]),
        "fn f() { (match ? { 1 => (n -= 1), _ => (n += 1) }); }"
    );
}

#[test]
fn a_deleted_arm_is_never_taken() {
    let source = "fn f() { match x { 1 => a, n if n > 2 || z => b, _ => c } }";
    let mutants = [
        mutant(source, Genre::MatchArm, "1 => a,", ""),
        mutant(source, Genre::MatchArm, "n if n > 2 || z => b,", ""),
        mutant(source, Genre::MatchArmGuard, "n > 2 || z", "true"),
    ];
    assert_eq!(
        text(source, &mutants),
        "fn f() { match x { 1 if (!matches!(?, 1)) => a, n if (!matches!(?, 2)) && \
         ((match ? { 3 => (true), _ => (n > 2 || z) })) => b, _ => c } }"
    );
}

#[test]
fn arms_that_are_missed_are_blamed_on_their_mutants() {
    let source = "fn f() { match x { 1 => a, 2 => b } }";
    let mutants = [
        mutant(source, Genre::MatchArm, "1 => a,", ""),
        mutant(source, Genre::MatchArm, "2 => b", ""),
    ];
    let rewritten = rewritten(source, &mutants);
    let at = rewritten.text.find('x').expect("it is written");
    assert_eq!(rewritten.mutants_at(&(at..at + 1)), [1, 2].into());
}

#[test]
fn a_field_is_left_to_the_base() {
    let source = "fn f() -> S { S { a: 1, ..base() } }";
    let field = mutant(source, Genre::StructField, "a: 1,", "");
    assert_eq!(
        text(source, &[field]),
        "fn f() -> S { (match ? { 1 => (S {  ..base() }), _ => (S { a: 1, ..base() }) }) }"
    );
}

#[test]
fn positions_count_characters() {
    let source = "fn f() {\n    (\"ä→\", a + b);\n}";
    let change = mutant(source, Genre::BinaryOperator, "+", "-");
    assert_eq!(
        text(source, &[change]),
        "fn f() {\n    (\"ä→\", (match ? { 1 => (a - b), _ => (a + b) }));\n}"
    );
}

#[test]
fn nothing_is_switched_where_nothing_can_be_asked() {
    for source in [
        "const N: u8 = 1 + 2;",
        "static N: u8 = 1 + 2;",
        "const fn f() -> u8 { 1 + 2 }",
        "fn f(a: [u8; 1 + 2]) {}",
        "fn f() { [0; 1 + 2]; }",
        "fn f() { const { 1 + 2 }; }",
        "enum E { A = 1 + 2 }",
        "fn f() { m!(1 + 2); }",
    ] {
        let change = mutant(source, Genre::BinaryOperator, "+", "-");
        assert!(!is_switched(source, change), "{source}");
    }
}

#[test]
fn a_function_in_a_constant_function_is_asked_again() {
    let source = "const fn f() { fn g() -> u8 { 1 + 2 } }";
    let change = mutant(source, Genre::BinaryOperator, "+", "-");
    assert!(is_switched(source, change));
}

#[test]
fn a_constant_function_thaws_with_the_mutants_in_it() {
    let source = "pub const fn f() -> u8 { 1 + 2 } const fn g() {}";
    let change = mutant(source, Genre::BinaryOperator, "+", "-");
    let at = source.find('+').expect("it is there");
    let thaw = Constants::of(source).expect("it is Rust").around(&[at]);
    assert_eq!(
        readable(&rewritten_with(source, &[change], &thaw)),
        "pub  fn f() -> u8 { (match ? { 1 => (1 - 2), _ => (1 + 2) }) } const fn g() {}"
    );
}

#[test]
fn a_table_thaws_into_one_that_is_made_when_it_is_used() {
    let source = "const A: [u8; 1 + 2] = [3 * 4; 3]; const B: [u8; 1] = [5];";
    let changes = [
        mutant(source, Genre::BinaryOperator, "+", "-"),
        mutant(source, Genre::BinaryOperator, "*", "/"),
    ];
    let at = source.find('*').expect("it is there");
    let thaw = Constants::of(source).expect("it is Rust").around(&[at]);
    let rewritten = rewritten_with(source, &changes, &thaw);
    assert_eq!(
        readable(&rewritten),
        "static A: std::sync::LazyLock<[u8; 1 + 2]> = std::sync::LazyLock::new(|| \
         [(match ? { 2 => (3 / 4), _ => (3 * 4) }); 3]); const B: [u8; 1] = [5];"
    );
    let five = rewritten.text.find('5').expect("it is written");
    let keyword = source.find("const B").expect("it is there");
    assert_eq!(rewritten.constant_at(&(five..five + 1)), Some(keyword));
}

#[test]
fn a_number_never_thaws() {
    let source = "const N: usize = 1 + 2;";
    let at = source.find('+').expect("it is there");
    let thaw = Constants::of(source).expect("it is Rust").around(&[at]);
    assert!(thaw.items.is_empty());
}

#[test]
fn a_row_that_binds_names_is_not_switched_but_its_operands_are() {
    let source = "fn f() { if let Some(x) = y && x > 1 {} }";
    let outer = mutant(source, Genre::BinaryOperator, "&&", "||");
    assert!(!is_switched(source, outer));
    let inner = mutant(source, Genre::BinaryOperator, ">", "<");
    assert_eq!(
        text(source, &[inner]),
        "fn f() { if let Some(x) = y && (match ? { 1 => (x < 1), _ => (x > 1) }) {} }"
    );
}

#[test]
fn a_guard_that_binds_names_loses_its_arm_only() {
    let source = "fn f() { match x { n if let Some(y) = n => a, _ => b } }";
    let guard = mutant(source, Genre::MatchArmGuard, "let Some(y) = n", "true");
    assert!(!is_switched(source, guard));
    let arm = mutant(source, Genre::MatchArm, "n if let Some(y) = n => a,", "");
    assert_eq!(
        text(source, &[arm]),
        "fn f() { match x { n if (!matches!(?, 1)) && let Some(y) = n => a, _ => b } }"
    );
}

#[test]
fn what_is_no_expression_is_not_switched() {
    let source = "fn f() { a as u8 > b; }";
    let change = mutant(source, Genre::BinaryOperator, ">", "<");
    assert!(!is_switched(source, change));
}

#[test]
fn a_function_that_hides_its_type_is_not_switched() {
    let source = "fn f() -> Option<impl Iterator> { g() }";
    assert!(!is_switched(
        source,
        mutant(source, Genre::FnValue, "g()", "None")
    ));
}

#[test]
fn an_unknown_kind_of_change_is_not_switched() {
    let source = "fn f() { g() }";
    assert!(!is_switched(
        source,
        mutant(source, Genre::Other, "g()", "h()")
    ));
}

#[test]
fn an_error_in_a_change_is_blamed_on_its_mutant_alone() {
    let source = "fn f() { a + b; }";
    let mutants = [
        mutant(source, Genre::BinaryOperator, "+", "-"),
        mutant(source, Genre::BinaryOperator, "+", "*"),
    ];
    let rewritten = rewritten(source, &mutants);
    let at = |part: &str| {
        let start = rewritten.text.find(part).expect("it was written");
        start..start + part.len()
    };
    assert_eq!(rewritten.choice_at(&at("a * b")), Some(2));
    assert_eq!(rewritten.mutants_at(&at("a * b")), [2].into());
    assert_eq!(rewritten.choice_at(&at("a + b")), None);
    assert_eq!(rewritten.mutants_at(&at("a + b")), [1, 2].into());
    assert!(rewritten.mutants_at(&at("fn f")).is_empty());
}
