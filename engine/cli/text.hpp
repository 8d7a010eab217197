// Foreign bytes in forms that a terminal or a reader of JSON can be given.
#pragma once

#include <string>
#include <string_view>

namespace cpgring::cli {

/// For a column of a table: what is not printable ASCII becomes \xNN, a backslash \\.
std::string printable(std::string_view bytes);
/// For a line on a terminal: UTF-8 text as it is; control characters but the tab, what would change the direction or the line of text, and
/// bytes that are no UTF-8 become \xNN, a backslash \\. So it holds no escape sequence, and no line end.
std::string printable_text(std::string_view bytes);
/// JSON text with DEL and the C1 controls, which JSON allows in a string as they are, as \u00NN. `json` has to be UTF-8.
std::string without_raw_controls(std::string json);

}  // namespace cpgring::cli
