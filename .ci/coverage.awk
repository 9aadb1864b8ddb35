# Line coverage per crate from an lcov file. Only shipped code counts: files of crates/*/src, and in
# them the lines above a trailing `#[cfg(test)]` module.
# Usage: awk -f .ci/coverage.awk lcov.info
/^SF:/ {
    file = substr($0, 4); crate = ""; last = 1e9
    if (match(file, /crates\/[^\/]+\/src\//) && file !~ /\/tests\.rs$|\/tests\//) {
        split(substr(file, RSTART), part, "/"); crate = part[2]
        number = 0; pending = 0
        while ((getline text < file) > 0) {
            number++
            if (text ~ /^#\[cfg\(test\)\]/) pending = number
            else if (pending && text ~ /^mod [a-z_]+ \{/) { last = pending; break }
            else if (text !~ /^#\[/) pending = 0
        }
        close(file)
    }
}
/^DA:/ && crate != "" {
    split(substr($0, 4), field, ",")
    if (field[1] + 0 < last) { lines[crate]++; if (field[2] > 0) hit[crate]++ }
}
END {
    for (crate in lines) {
        printf "%-6s %6.2f %%  %5d of %5d lines\n", crate, 100 * hit[crate] / lines[crate], hit[crate], lines[crate] | "sort"
    }
}
