#!/bin/sh
# Print the first Python that runs and has the wanted version ($1, such as 3.10; without one: 3.10 to 3.12).
wanted="${1:-3.10 3.11 3.12}"
for name in python3 python3.12 python3.11 python3.10 python "$HOME"/.pyenv/versions/*/bin/python; do
    version=$("$name" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    case " $wanted " in *" $version "*) "$name" -c 'import sys; print(sys.executable)'; exit 0 ;; esac
done
exit 0
