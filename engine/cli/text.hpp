// Converts untrusted bytes to text that is safe for a terminal or a JSON reader.
#pragma once

#include <string>
#include <string_view>

namespace cpgring::cli {

/// For a column of a table: bytes that are not printable ASCII become \xNN, a backslash becomes \\.
std::string printable(std::string_view bytes);
/// For a line on a terminal. UTF-8 text is unchanged. Control characters except tab, characters that change
/// the direction or the line of the text, and bytes that are not UTF-8 become \xNN; a backslash becomes \\.
/// The result has no escape sequence and no line end.
std::string printable_text(std::string_view bytes);
/// Returns JSON text in which DEL and the C1 controls, which JSON allows unescaped in strings, are \u00NN.
/// `json` must be UTF-8.
std::string without_raw_controls(std::string json);

}  // namespace cpgring::cli
