//! What can be said of the shaders without running them.

use naga::valid::{Capabilities, ValidationFlags, Validator};

use crate::WORKGROUP;
use crate::normalise::NORMALISE;
use crate::resize::RESIZE;
use crate::warp::{WARP_BUFFER, WARP_TEXTURE};

const SHADERS: [(&str, &str); 4] =
    [("warp", WARP_BUFFER), ("warp", WARP_TEXTURE), ("resize", RESIZE), ("normalise", NORMALISE)];

#[test]
fn every_shader_is_valid_without_any_capability() {
    for (name, source) in SHADERS {
        let module = naga::front::wgsl::parse_str(source).unwrap_or_else(|error| {
            panic!("{name}: {}", error.emit_to_string(source));
        });
        let outcome = Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module);
        outcome.unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(source)));
    }
}

#[test]
fn every_shader_has_one_entry_point_with_the_documented_name_and_workgroup() {
    for (name, source) in SHADERS {
        let module = naga::front::wgsl::parse_str(source).unwrap();
        let entries: Vec<_> = module.entry_points.iter().map(|e| (e.name.as_str(), e.workgroup_size)).collect();
        assert_eq!(entries, [(name, [WORKGROUP, WORKGROUP, 1])]);
    }
}

#[test]
fn the_uniform_structures_have_the_documented_sizes() {
    for ((name, source), size) in SHADERS.into_iter().zip([48, 48, 20, 32]) {
        let module = naga::front::wgsl::parse_str(source).unwrap();
        let (_, parameters) =
            module.global_variables.iter().find(|(_, v)| v.space == naga::AddressSpace::Uniform).unwrap();
        assert_eq!(module.types[parameters.ty].inner.size(module.to_ctx()), size, "{name}");
    }
}
