//! The page: drop a video, read a verdict that was computed on this machine.
//!
//! It is a client of the JavaScript API like any other page: [`api`] binds it, [`report`] is the part of its answer that is
//! shown, [`items`] the list of inputs and what became of each, and [`components`] what people see.

#![allow(unreachable_pub, reason = "the macro for components makes `pub` items of what is `pub(crate)`")]

mod api;
mod app;
mod components;
mod items;
mod report;
mod words;

fn main() {
    console_error_panic_hook::set_once();
    leptos::mount::mount_to_body(app::App);
}
