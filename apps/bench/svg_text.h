// Text in the pictures that benches write as SVG by hand.
#pragma once

#include <string>

namespace shadowserve {

/// A <text> element. `style` is more attributes, `text` may hold anything.
std::string text_at(double x, double y, const std::string& style, const std::string& text);

}  // namespace shadowserve
