// The frame of the pictures that benches and simulators write as SVG by hand, and text in them.
#pragma once

#include <string>

namespace shadowserve {

/// The beginning of a picture of so many pixels, on white; "</svg>\n" ends it.
std::string svg_head(double width, double height);

/// A <text> element. `style` is more attributes, `text` may hold anything.
std::string text_at(double x, double y, const std::string& style, const std::string& text);

}  // namespace shadowserve
