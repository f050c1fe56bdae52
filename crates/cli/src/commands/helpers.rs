//! Python files of a folder that hold no strategy: modules that others import. Nobody named them, so they are left
//! out rather than failed; named outright they fail.

use super::Context;
use springtide_lab::compiled::CompiledStrategy;
use std::path::Path;

/// True of a helper module that was only found in a folder or by a pattern.
pub fn is_left_out(arguments: &[String], strategy: &CompiledStrategy) -> bool {
    strategy.is_helper() && !arguments.iter().any(|argument| Path::new(argument) == strategy.source.path)
}

/// Says which ones were left out.
pub fn tell(context: &Context, left_out: &[String]) {
    if !left_out.is_empty() {
        context.term.note(&format!("left out, for there is no strategy in it: {}", left_out.join(", ")));
    }
}

/// The others.
pub fn without(
    context: &Context,
    arguments: &[String],
    strategies: Vec<CompiledStrategy>,
) -> Vec<CompiledStrategy> {
    let (helpers, others): (Vec<_>, Vec<_>) =
        strategies.into_iter().partition(|strategy| is_left_out(arguments, strategy));
    let names: Vec<String> = helpers.iter().map(|helper| helper.source.path.display().to_string()).collect();
    tell(context, &names);
    others
}
