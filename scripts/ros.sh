#!/usr/bin/env bash
# Build the ROS 2 workspace in the virtual environment's Python, or test it on a real ROS 2.
# Usage: scripts/ros.sh build|test [pytest arguments]
set -euo pipefail
cd "$(dirname "$0")/.."
python="$PWD/.venv/bin/python"

setup="${ROS_SETUP:-}"
for candidate in /opt/ros/"${ROS_DISTRO:-*}"/setup.bash /opt/ros/*/setup.bash; do
    [ -z "$setup" ] && [ -f "$candidate" ] && setup="$candidate"
done
if [ -z "$setup" ]; then
    count=$("$python" -m pytest -o addopts= --collect-only -q -m ros tests/ros tests/docker tests/security 2>/dev/null | grep -c '::' || true)
    echo "==> skipped: $count tests need a real ROS 2, and there is none under /opt/ros"
    exit 0
fi

source_ros() {
    set +u # ROS's own scripts read variables that are not set
    # shellcheck disable=SC1090,SC1091
    . "$1"
    set -u
}

build() {
    echo "==> building ros2_ws on $setup"
    "$python" -m pip install --quiet --disable-pip-version-check -r requirements/ros.txt
    source_ros "$setup"
    (cd ros2_ws && COLCON_DEFAULTS_FILE="$PWD/colcon_defaults.yaml" "$python" -m colcon build)
    source_ros ros2_ws/install/local_setup.bash
}

case "${1:-}" in
    build) build ;;
    test)
        build
        shift
        export OMP_NUM_THREADS=1
        # launch's own pytest plugins speak to an older pytest
        "$python" -m pytest -p no:launch_testing -p no:launch_ros -m ros tests/ros tests/docker tests/security "$@"
        ;;
    *)
        grep '^# Usage' "$0" >&2
        exit 2
        ;;
esac
