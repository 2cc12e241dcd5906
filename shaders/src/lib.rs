//! From a frame to an aligned, resized, normalised crop on the GPU that holds the frame.
