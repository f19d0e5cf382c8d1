// Escapes and places text.
#include "bench/svg_text.h"

#include <fmt/format.h>

namespace shadowserve {
namespace {

std::string escaped(const std::string& text) {
  std::string made;
  for (const char letter : text) {
    switch (letter) {
      case '<':
        made += "&lt;";
        break;
      case '>':
        made += "&gt;";
        break;
      case '&':
        made += "&amp;";
        break;
      default:
        made += letter;
    }
  }
  return made;
}

}  // namespace

std::string text_at(double x, double y, const std::string& style, const std::string& text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" {}>{}</text>\n", x, y, style, escaped(text));
}

}  // namespace shadowserve
