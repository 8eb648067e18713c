//! Crash points and planted bugs, for the chaos tests. Without the cargo feature `chaos` these macros are nothing.

#[cfg(feature = "chaos")]
pub mod armed;

/// A step at which the process may die, stop, wait or panic, as its environment says.
macro_rules! point {
    ($point:ident) => {
        #[cfg(feature = "chaos")]
        $crate::faults::armed::pass($crate::config::faults::Point::$point).await;
    };
}

/// A bug: what is done in addition, or what is used instead of the right thing, when it is planted.
macro_rules! plant {
    ($bug:ident $body:block) => {
        #[cfg(feature = "chaos")]
        if $crate::faults::armed::is_planted($crate::config::faults::Plant::$bug) $body
    };
    ($bug:ident, $wrong:expr, $right:expr) => {{
        #[cfg(not(feature = "chaos"))]
        let value = $right;
        #[cfg(feature = "chaos")]
        let value = if $crate::faults::armed::is_planted($crate::config::faults::Plant::$bug) {
            $wrong
        } else {
            $right
        };
        value
    }};
}

/// Panics over a title with a certain mark.
macro_rules! panic_over {
    ($title:expr) => {
        #[cfg(feature = "chaos")]
        $crate::faults::armed::panic_over($title);
    };
}

pub(crate) use {panic_over, plant, point};
