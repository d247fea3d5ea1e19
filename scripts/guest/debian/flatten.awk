# flatten.awk - the values of a cloud-config or network-config file, one a line.
#
# Prints "PATH<tab>VALUE" for every scalar, PATH being keys and list indexes
# joined by "/": "ssh_authorized_keys/0", "ethernets/eth0/addresses/1".  Takes
# the YAML that people write into such files: block and flow maps and lists,
# plain and quoted scalars, comments, "|" and ">" blocks (their line ends come
# out as "\n", their empty lines not at all).  No anchors, tags or values over
# several lines: those end it with status 1 and the line's number, since half a
# configuration is worse than none.
#
# The open collections are a stack: at[n] is the column of its entries, kind[n]
# "map" or "seq", path[n] its path, last[n] a list's latest index.  A key or a
# dash without a value leaves its path in "open" for what is indented below it.

function fail(what) {
	printf "line %d: %s\n", NR, what > "/dev/stderr"
	failed = 1
	exit 1
}

function emit(where, value) {
	gsub(/\t/, " ", value)
	printf "%s\t%s\n", where, value
}

function trim(s) {
	sub(/^[ ]+/, "", s)
	sub(/[ ]+$/, "", s)
	return s
}

# Where the comment begins, if any: a # at the start or after a space, outside quotes.
function without_comment(s,    i, c, q) {
	q = ""
	for (i = 1; i <= length(s); i++) {
		c = substr(s, i, 1)
		if (q == "\"" && c == "\\")
			i++
		else if (q != "")
			q = c == q ? "" : q
		else if ((c == "\"" || c == "'") && (i == 1 || substr(s, i - 1, 1) ~ /[ \[{,:]/))
			q = c
		else if (c == "#" && (i == 1 || substr(s, i - 1, 1) == " "))
			return substr(s, 1, i - 1)
	}
	return s
}

# The length of the quoted string that s begins with.
function quoted_length(s,    i, q) {
	q = substr(s, 1, 1)
	for (i = 2; i <= length(s); i++) {
		if (q == "\"" && substr(s, i, 1) == "\\")
			i++
		else if (substr(s, i, 1) == q) {
			if (q != "'" || substr(s, i + 1, 1) != "'")
				return i
			i++
		}
	}
	fail("a quote is not closed")
}

function unquote(s,    q, i, c, n, out) {
	q = substr(s, 1, 1)
	if (q != "\"" && q != "'") {
		if (q ~ /[&*!%@`]/)
			fail("anchors, tags and the like are not understood: " s)
		return s == "~" || s == "null" ? "" : s
	}
	n = quoted_length(s)
	if (n != length(s))
		fail("something follows a quoted value: " s)
	out = ""
	for (i = 2; i < n; i++) {
		c = substr(s, i, 1)
		if (q == "'" && c == "'")
			i++
		else if (q == "\"" && c == "\\") {
			c = substr(s, ++i, 1)
			if (c == "n")
				c = "\\n"
			else if (c == "t")
				c = " "
			else if (c !~ /["\\\/]/)
				fail("the escape \\" c " is not understood")
		}
		out = out c
	}
	return out
}

# The column after the key that s begins with, 0 if it begins with none.
function key_end(s,    n) {
	if (s ~ /^["']/) {
		n = quoted_length(s)
		return substr(s, n + 1) ~ /^[ ]*:([ ]|$)/ ? n + match(substr(s, n + 1), /:/) : 0
	}
	return match(s, /:([ ]|$)/) ? RSTART : 0
}

# flow(where): parse the value at the start of "rest", which it consumes.
function flow(where,    n, k, text) {
	rest = trim(rest)
	if (rest ~ /^[[{]/) {
		k = substr(rest, 1, 1) == "{" ? "}" : "]"
		rest = trim(substr(rest, 2))
		for (n = 0; substr(rest, 1, 1) != k; n++) {
			if (rest == "")
				fail("a list or map in brackets must end on its line")
			if (k == "}") {
				text = key_end(rest)
				if (!text)
					fail("a key and a colon were expected: " rest)
				flow_key = unquote(trim(substr(rest, 1, text - 1)))
				rest = substr(rest, text + 1)
				flow(where "/" flow_key)
			} else
				flow(where "/" n)
			rest = trim(rest)
			if (rest ~ /^,/)
				rest = trim(substr(rest, 2))
			else if (substr(rest, 1, 1) != k)
				fail("a comma or a bracket was expected: " rest)
		}
		rest = substr(rest, 2)
		return
	}
	if (rest ~ /^["']/)
		n = quoted_length(rest)
	else
		n = match(rest, /[],}]/) ? RSTART - 1 : length(rest)
	text = trim(substr(rest, 1, n))
	rest = substr(rest, n + 1)
	emit(where, unquote(text))
}

function value(where, s) {
	if (s ~ /^[[{]/) {
		rest = s
		flow(where)
		if (trim(rest) != "")
			fail("something follows a closed bracket: " trim(rest))
	} else
		emit(where, unquote(s))
}

function push(column, what, where) {
	depth++
	at[depth] = column
	kind[depth] = what
	path[depth] = where
	last[depth] = -1
	open = ""
}

# The collection that an entry at this column belongs to is made the top one.
function settle(column, what,    below) {
	below = open != "" && (column > open_at || (column == open_at && what == "seq" && kind[depth] == "map"))
	if (below) {
		push(column, what, open)
		return
	}
	while (depth && (at[depth] > column || (at[depth] == column && kind[depth] != what && what == "map")))
		depth--
	if (!depth && NR_first == NR)
		push(column, what, "")
	else if (!depth || at[depth] != column || kind[depth] != what)
		fail("the indentation fits nothing above it")
	open = ""
}

function entry(column, s,    n, key, where) {
	if (s ~ /^-([ ]|$)/) {
		settle(column, "seq")
		where = path[depth] "/" (++last[depth])
		if (path[depth] == "")
			where = substr(where, 2)
		key = substr(s, 2)
		s = trim(key)
		column += length(s) ? index(key, substr(s, 1, 1)) : 1
		if (s == "") {
			open = where
			open_at = at[depth]
		} else if (s ~ /^[|>][+-]?$/)
			block(where, at[depth], s)
		else if (s ~ /^-([ ]|$)/ || (s !~ /^[[{]/ && key_end(s))) {
			push(column, s ~ /^-/ ? "seq" : "map", where)
			entry(column, s)
		} else
			value(where, s)
		return
	}
	n = key_end(s)
	if (!n)
		fail("a key and a colon were expected: " s)
	settle(column, "map")
	where = unquote(trim(substr(s, 1, n - 1)))
	if (path[depth] != "")
		where = path[depth] "/" where
	s = trim(substr(s, n + 1))
	if (s == "") {
		open = where
		open_at = column
	} else if (s ~ /^[|>][+-]?$/)
		block(where, column, s)
	else
		value(where, s)
}

# A "|" or ">" block: every line that is indented below its key.
function block(where, column, style) {
	block_path = where
	block_at = column
	block_join = style ~ /^>/ ? " " : "\\n"
	block_text = ""
	block_indent = -1
}

function block_done() {
	if (block_path != "")
		emit(block_path, block_text)
	block_path = ""
}

{
	sub(/\r$/, "")
	match($0, /^ */)
	column = RLENGTH
	if (block_path != "") {
		if ($0 ~ /^ *$/)
			next
		if (column > block_at) {
			if (block_indent < 0)
				block_indent = column
			block_text = block_text (block_text == "" ? "" : block_join) substr($0, block_indent + 1)
			next
		}
		block_done()
	}
	text = trim(without_comment($0))
	if (text == "" || text == "---" || text == "...")
		next
	if (text ~ /^\t/)
		fail("a tab can't indent")
	if (!NR_first)
		NR_first = NR
	entry(column, text)
}

END {
	if (!failed)
		block_done()
}
