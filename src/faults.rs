//! Crash points for the chaos tests. Without the cargo feature `chaos` these macros expand to nothing.

#[cfg(feature = "chaos")]
pub mod armed;

/// A step at which the process may die, stop, wait or panic, as its environment says.
macro_rules! point {
    ($point:ident) => {
        #[cfg(feature = "chaos")]
        $crate::faults::armed::pass($crate::config::faults::Point::$point).await;
    };
}

/// Panics over a title with a certain mark.
macro_rules! panic_over {
    ($title:expr) => {
        #[cfg(feature = "chaos")]
        $crate::faults::armed::panic_over($title);
    };
}

pub(crate) use {panic_over, point};
