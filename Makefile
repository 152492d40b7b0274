# Every target makes .venv and installs what is missing, once. ARGS goes to the command: make run ARGS="--port 7861"
PY := .venv/bin/python
APP := .venv/.app
DEV := .venv/.dev

.PHONY: run test storm check data bench keystroke ablations space nerfstudio

run: $(APP)
	$(PY) app.py $(ARGS)

test: $(DEV) .venv/.chromium
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile $(ARGS)

storm: $(DEV)
	$(PY) -m pytest -m slow -s $(ARGS)

check: $(DEV)
	$(PY) -m ruff check . && $(PY) -m pyright

data: $(APP)
	$(PY) -m distill.data.emoji $(ARGS)

bench: $(APP)
	$(PY) -m benchmarks.latency $(ARGS)
	$(PY) -m benchmarks.drawing
	$(PY) -m benchmarks.visitors
	$(MAKE) --no-print-directory keystroke ARGS=

keystroke: $(DEV) .venv/.chromium
	$(PY) -m benchmarks.keystroke $(ARGS)

ablations: $(APP)
	$(PY) -m benchmarks.ablations $(ARGS)

space: $(APP)
	$(PY) -m models.space $(SPACE) $(ARGS)

# The method `prolificdreamer` in nerfstudio, which has an environment of its own and is no part of `make test`.
NERF := .venv-nerfstudio/bin
nerfstudio: .venv-nerfstudio/.made
	$(NERF)/ns-train prolificdreamer --vis tensorboard --output-dir studio/nerfstudio $(ARGS)

.venv-nerfstudio/.made: requirements.txt requirements-nerfstudio.txt pyproject.toml
	ldconfig -p | grep -q libusb-1.0 || (apt-get -qq update && apt-get -qq -y install libusb-1.0-0)
	test -x $(NERF)/python || python3 -m venv .venv-nerfstudio
	$(NERF)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(NERF)/python -m pip install --quiet --disable-pip-version-check -r requirements-nerfstudio.txt
	$(NERF)/python -m pip install --quiet --disable-pip-version-check --no-deps -e . && touch $@

$(APP): requirements.txt
	test -x $(PY) || python3 -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt && touch $@

$(DEV): requirements-dev.txt $(APP)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt && touch $@

.venv/.chromium: | $(DEV)
	command -v chromium >/dev/null || (apt-get -qq update && apt-get -qq -y install chromium) && touch $@
