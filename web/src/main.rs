//! The page: drop a video, read a verdict that was computed on this machine.
//!
//! It is a client of the JavaScript API like any other page: [`api`] binds it, [`report`] is the part of its answer that is
//! shown and [`timeline`] how one moves in it. [`desk`] is the list of inputs and what became of each, [`choice`] what the user
//! can choose, [`words`] what is said of an answer, [`opinions`] of those of several detectors, and [`troubles`] where there is none, and [`components`] what people see. What a browser offers beside, [`camera`] and
//! [`keeper`] bind, and [`offered`] the list of detectors beside the page.

#![allow(unreachable_pub, reason = "the macro for components makes `pub` items of what is `pub(crate)`")]

mod api;
mod app;
mod camera;
mod choice;
mod components;
mod desk;
mod files;
mod keeper;
mod offered;
mod opinions;
mod report;
mod timeline;
mod troubles;
mod words;

fn main() {
    console_error_panic_hook::set_once();
    leptos::mount::mount_to_body(app::App);
}
