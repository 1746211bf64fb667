'use strict';
(() => {
  const D = JSON.parse(document.getElementById('run-data').textContent);
  const $ = (id) => document.getElementById(id);
  document.body.classList.add('js');
  const map = $('map'), slider = $('slider'), readout = $('readout');
  const full = map.viewBox.baseVal, home = [full.x, full.y, full.width, full.height];
  let view = [...home], now = 0, follow = false, timer = 0;

  const fixed = (v, digits, unit) => (v === null ? '–' : v.toFixed(digits) + ' ' + unit);
  const zoom = () => home[2] / view[2];
  const unit = () => 1 / (map.getScreenCTM().a || 1);  // map units per screen pixel
  function show() {
    map.setAttribute('viewBox', view.join(' '));
    const k = unit();
    document.querySelectorAll('.pin').forEach((pin) => {
      pin.setAttribute('transform', `translate(${pin.dataset.x} ${pin.dataset.y}) scale(${k})`);
    });
    document.querySelectorAll('.doubt circle').forEach((dot) => dot.setAttribute('r', 2.4 * k));
    document.querySelector('.scalebar text').style.fontSize = `${13 * k}px`;
    document.querySelector('.scalebar').style.display = zoom() > 1.01 ? 'none' : '';
    place();
  }
  function place() {
    const i = now, k = unit(), here = $('here');
    const seen = D.x[i] !== null, known = D.tx[i] !== null;
    here.setAttribute('visibility', seen || known ? 'visible' : 'hidden');
    const at = `translate(${D.x[i]} ${D.y[i]})`;
    const hide = (id, off) => { $(id).style.display = off ? 'none' : ''; };
    hide('here-arrow', !seen); hide('here-cov', !seen || D.a[i] === null);
    hide('here-true', !known); hide('here-link', !(seen && known));
    if (seen) {
      $('here-arrow').setAttribute('transform', `${at} rotate(${D.yaw[i]}) scale(${k})`);
      $('here-cov').setAttribute('transform', `${at} rotate(${D.th[i]})`);
      $('here-cov').setAttribute('rx', D.a[i]); $('here-cov').setAttribute('ry', D.b[i]);
    }
    if (known) {
      $('here-true').setAttribute('cx', D.tx[i]); $('here-true').setAttribute('cy', D.ty[i]);
      $('here-true').setAttribute('r', 5 * k);
    }
    if (seen && known) {
      const link = $('here-link');
      link.setAttribute('x1', D.x[i]); link.setAttribute('y1', D.y[i]);
      link.setAttribute('x2', D.tx[i]); link.setAttribute('y2', D.ty[i]);
    }
  }
  function go(i) {
    now = Math.max(0, Math.min(D.t.length - 1, i));
    slider.value = now;
    const status = D.statuses[D.s[now]], why = D.reasons[D.r[now]];
    const parts = [`t = ${D.t[now].toFixed(1)} s`, status + (why ? ` (${why})` : '')];
    if (D.e[now] !== null) parts.push('error ' + fixed(D.e[now], 2, 'm'));
    if (D.ye[now] !== null) parts.push('yaw ' + fixed(D.ye[now], 1, '°'));
    parts.push('sigma ' + fixed(D.sg[now], 2, 'm'));
    if (D.sim[now] !== null) parts.push('similarity ' + D.sim[now].toFixed(2));
    readout.textContent = parts.join('  ·  ');
    slider.setAttribute('aria-valuetext', parts.slice(0, 3).join(', '));
    document.querySelectorAll('svg.timed').forEach((chart) => {
      const d = chart.dataset, share = (D.t[now] - d.t0) / (d.t1 - d.t0);
      const x = +d.left + share * (d.right - d.left), line = chart.querySelector('.cursor');
      line.setAttribute('x1', x); line.setAttribute('x2', x);
    });
    if (follow && D.x[now] !== null) {
      if (zoom() < 2) { view[2] = home[2] / 4; view[3] = home[3] / 4; }
      view[0] = D.x[now] - view[2] / 2; view[1] = D.y[now] - view[3] / 2;
      show();
    } else place();
  }
  function nearest(values, wanted) {
    let best = 0, least = Infinity;
    values.forEach((v, i) => { const d = Math.abs(v - wanted); if (d < least) { least = d; best = i; } });
    return best;
  }
  function onMap(event) {
    const point = new DOMPoint(event.clientX, event.clientY);
    return point.matrixTransform(map.getScreenCTM().inverse());
  }
  function zoomBy(factor, at) {
    const width = Math.min(home[2], Math.max(home[2] / 40, view[2] * factor)), f = width / view[2];
    view = [at.x - (at.x - view[0]) * f, at.y - (at.y - view[1]) * f, width, view[3] * f];
    if (width === home[2]) view = [...home];
    show();
  }
  const middle = () => ({ x: view[0] + view[2] / 2, y: view[1] + view[3] / 2 });

  if (D.t.length) {
    slider.addEventListener('input', () => go(+slider.value));
    document.querySelectorAll('svg.timed').forEach((chart) => {
      const pick = (event) => {
        const box = chart.getBoundingClientRect(), d = chart.dataset;
        const x = (event.clientX - box.left) / box.width * chart.viewBox.baseVal.width;
        go(nearest(D.t, +d.t0 + (x - d.left) / (d.right - d.left) * (d.t1 - d.t0)));
      };
      chart.addEventListener('pointermove', pick);
      chart.addEventListener('pointerdown', pick);
    });
    document.querySelectorAll('[data-go]').forEach((button) => button.addEventListener('click', () => {
      go(nearest(D.t, +button.dataset.go));
      map.scrollIntoView({ behavior: 'smooth', block: 'center' });
    }));
    $('play').addEventListener('click', () => {
      if (timer) { clearInterval(timer); timer = 0; } else {
        if (now >= D.t.length - 1) go(0);
        const step = Math.max(1, Math.round(D.t.length / 900));
        timer = setInterval(() => {
          go(now + step);
          if (now >= D.t.length - 1) { clearInterval(timer); timer = 0; $('play').textContent = 'Play'; }
        }, 40);
      }
      $('play').textContent = timer ? 'Pause' : 'Play';
    });
    $('follow').addEventListener('click', () => {
      follow = !follow;
      $('follow').setAttribute('aria-pressed', follow);
      if (!follow) { view = [...home]; show(); }
      go(now);
    });
  }
  map.addEventListener('wheel', (event) => {
    if (!event.ctrlKey && !event.shiftKey && zoom() <= 1 && event.deltaY > 0) return;
    event.preventDefault();
    zoomBy(event.deltaY > 0 ? 1.25 : 0.8, onMap(event));
  }, { passive: false });
  let grip = null, moved = false;
  map.addEventListener('pointerdown', (event) => {
    grip = onMap(event); moved = false; map.setPointerCapture(event.pointerId); map.classList.add('drag');
  });
  map.addEventListener('pointermove', (event) => {
    if (!grip) return;
    const at = onMap(event);
    if (zoom() > 1) { view[0] += grip.x - at.x; view[1] += grip.y - at.y; show(); }
    if (Math.hypot(grip.x - at.x, grip.y - at.y) > 4 / zoom()) moved = true;
  });
  map.addEventListener('pointerup', (event) => {
    map.classList.remove('drag');
    if (grip && !moved && D.t.length) {
      const at = onMap(event);
      const far = D.x.map((x, i) => (x === null ? Infinity : Math.hypot(x - at.x, D.y[i] - at.y)));
      go(nearest(far, 0));
    }
    grip = null;
  });
  $('zoom-in').addEventListener('click', () => zoomBy(0.6, middle()));
  $('zoom-out').addEventListener('click', () => zoomBy(1 / 0.6, middle()));
  $('zoom-all').addEventListener('click', () => { view = [...home]; show(); });
  addEventListener('resize', show);
  const linlog = $('linlog');
  if (linlog) linlog.querySelector('button').addEventListener('click', (event) => {
    const log = linlog.classList.toggle('log');
    event.target.setAttribute('aria-pressed', log);
  });
  show();
  if (D.t.length) go(D.start);
})();
