import { bundled } from 'unmask-detector';

document.querySelector('unmask-detector').setAttribute('model', bundled.url);
